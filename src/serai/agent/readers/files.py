"""A member's files and folders: opened, listed in one order, and named by what they hold."""

import hashlib
from contextlib import closing
from io import BufferedReader
from pathlib import Path
from typing import Final

from serai.errors import Malformed, Misconfigured
from serai.kernel.ids import Digest

MAX_FILES: Final = 1_000_000  # of a folder


def digest_file(path: Path) -> Digest:
    """SHA-256 of a file's bytes, read in blocks.

    Raises:
        Misconfigured: the file is missing or unreadable.

    """
    with closing(open_file(path)) as file:
        return Digest(hashlib.file_digest(file, "sha256").hexdigest())


def open_file(path: Path) -> BufferedReader:
    """Open a dataset's file to read it.

    Raises:
        Misconfigured: the file is missing or unreadable.

    """
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise Misconfigured(
            "dataset-file-missing", f"expected a data file at {path}; correct the dataset's path"
        ) from None
    except OSError as error:
        raise Misconfigured("dataset-file-unreadable", f"cannot read {path}: {error.strerror}") from error


def list_files(folder: Path) -> list[Path]:
    """The files of a folder and of the folders in it, in the order of their names; hidden ones are passed over.

    Raises:
        Misconfigured: there is no such folder.
        Malformed: there are too many, or one has a name that is no text.

    """
    if not folder.is_dir():
        raise Misconfigured("dataset-file-missing", f"expected a folder at {folder}; correct the dataset's path")
    files: list[Path] = []
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") for part in parts):
            files.append(path)
        if len(files) > MAX_FILES:
            raise Malformed("dataset-too-large", f"{folder} has more than {MAX_FILES} files; offer a part of it")
    if bent := [path for path in files if not str(path).isprintable()]:
        raise Malformed("dataset-encoding", f"{folder}: expected printable names of files, got {str(bent[0])[:200]!r}")
    return sorted(files, key=lambda path: path.relative_to(folder).parts)
