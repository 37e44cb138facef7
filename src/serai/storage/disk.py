"""A full disk, said in words wherever a file is written."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from serai.errors import Unavailable

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def no_room_explained(folder: Path) -> Iterator[None]:
    """Name the folder whose disk is full.

    Raises:
        Unavailable: the disk is full; any other trouble is passed on.

    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise Unavailable(
            "disk-full", f"no room left on the disk of {folder}; free some or move the folder, then send again"
        ) from error
