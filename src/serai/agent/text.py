"""Reads a member's text file: documents of UTF-8 with a blank line between them, bounded."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from serai.errors import Malformed, Misconfigured

MAX_TEXT_BYTES: Final = 1 << 31  # held in memory twice; a larger corpus needs a reader that does not
_BETWEEN: Final = re.compile(rb"\n[ \t\r]*\n\s*")


def read_documents(path: Path) -> list[bytes]:
    """The documents of a text file, without the blank lines around them.

    Raises:
        Misconfigured: there is no such file, or it cannot be read.
        Malformed: it is too large, is not UTF-8, or holds no text.

    """
    try:
        size = path.stat().st_size
        if size > MAX_TEXT_BYTES:
            raise Malformed(
                "dataset-too-large", f"{path} has {size} bytes, a text at most {MAX_TEXT_BYTES}; offer a part of it"
            )
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
    documents = [document.strip() for document in _BETWEEN.split(data.strip()) if document]
    if not documents:
        raise Malformed("dataset-empty", f"{path} holds no text")
    return documents


def join_documents(documents: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    """Documents as one array of bytes, a blank line between them."""
    return np.frombuffer(b"\n\n".join(documents), np.uint8)
