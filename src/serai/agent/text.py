"""Reads a member's texts, bounded: a file of documents with a blank line between them, or a folder of files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from serai.agent.readers.files import list_files
from serai.errors import Malformed, Misconfigured

MAX_TEXT_BYTES: Final = 1 << 31  # held in memory twice; a larger corpus needs a reader that does not
SUFFIX: Final = ".txt"
_BETWEEN: Final = re.compile(rb"\n[ \t\r]*\n\s*")


def read_documents(path: Path) -> list[bytes]:
    """The documents of a text file, without the blank lines around them; of a folder, every ``.txt`` file is one.

    Raises:
        Misconfigured: there is no such file, or it cannot be read.
        Malformed: it is too large, is not UTF-8, or holds no text.

    """
    if path.is_dir():
        files = [file for file in list_files(path) if file.suffix.lower() == SUFFIX]
        size = sum(file.stat().st_size for file in files)
        _check_size(path, size)
        documents = [_read(file).strip() for file in files]
    else:
        documents = [document.strip() for document in _BETWEEN.split(_read(path).strip())]
    found = [document for document in documents if document]
    if not found:
        raise Malformed("dataset-empty", f"{path} holds no text")
    return found


def join_documents(documents: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Documents as one array of bytes, a blank line between them."""
    return np.frombuffer(b"\n\n".join(documents), np.uint8)


def _read(path: Path) -> bytes:
    """A file of UTF-8."""
    try:
        _check_size(path, path.stat().st_size)
        data = path.read_bytes()
    except FileNotFoundError:
        raise Misconfigured(
            "dataset-file-missing", f"expected a text file at {path}; correct the dataset's path"
        ) from None
    except OSError as error:
        raise Misconfigured("dataset-file-unreadable", f"cannot read {path}: {error.strerror}") from error
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Malformed("dataset-encoding", f"{path}, line {line}: expected UTF-8; save the file as UTF-8") from error
    return data


def _check_size(path: Path, size: int) -> None:
    if size > MAX_TEXT_BYTES:
        raise Malformed(
            "dataset-too-large", f"{path} has {size} bytes, a text at most {MAX_TEXT_BYTES}; offer a part of it"
        )
