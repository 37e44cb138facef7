"""Records as files: one line of canonical JSON, so that equal records are equal files."""

from pathlib import Path
from typing import Final, TypeVar

from serai.errors import Malformed, Misconfigured, Missing
from serai.kernel.canonical import canonical, parse
from serai.kernel.records import from_json, to_json

T = TypeVar("T")

MAX_RECORD_BYTES: Final = 1 << 20  # a charter of a hundred members has about 50 kB


def read_record(cls: type[T], path: Path) -> T:
    """Read a record from a file of canonical JSON; surrounding blank space is allowed.

    Raises:
        Missing: there is no such file.
        Malformed: it does not hold such a record.

    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Missing("record-file-missing", f"there is no file {path}; check the name") from None
    except OSError as error:
        raise Misconfigured("record-file-unreadable", f"cannot read {path}: {error.strerror}") from error
    try:
        return from_json(cls, parse(data.strip(), MAX_RECORD_BYTES))
    except Malformed as error:
        raise Malformed(error.code, f"{path}: {error.message}") from error


def write_record(path: Path, record: object) -> None:
    """Write a record as one line of canonical JSON, so that equal records are equal files."""
    path.write_bytes(canonical(to_json(record)) + b"\n")
