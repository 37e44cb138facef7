"""A recipe as it travels: a folder of files packed into one canonical archive, whose digest is its name.

The archive is a POSIX tar (ustar) without anything in it that a packer could
choose: names in order, mode 0644, owner 0, time 0, no folders, no links. So one
folder has one digest on every machine, ``tar tf`` lists it, and an archive that
anybody packed otherwise is refused.
"""

import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from serai.errors import Malformed, Missing

ENTRY_FILE: Final = "recipe.py"
MAX_FILES: Final = 256
MAX_ARCHIVE_BYTES: Final = 4 * 2**20  # source and small tables; a model comes as an input, by its own digest
MAX_NAME_CHARS: Final = 100  # what a ustar header holds without a prefix
_BLOCK: Final = 512
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_SIZE: Final = re.compile(rb"[0-7]{11}\0")
_SKIPPED: Final = "__pycache__"


def pack_folder(folder: Path) -> bytes:
    """The archive of a folder; hidden files and ``__pycache__`` stay out of it.

    Raises:
        Missing: there is no such folder, or no ``recipe.py`` in it.
        Malformed: it holds a link, a name outside ASCII letters, digits and ``_.-``, or too much.

    """
    if not folder.is_dir():
        raise Missing("recipe-folder", f"expected a folder with a recipe at {folder}")
    files: dict[str, bytes] = {}
    for path in _walk(folder):
        if len(files) == MAX_FILES:
            raise Malformed("archive-size", f"{folder} holds more than {MAX_FILES} files; pack the recipe alone")
        if path.stat().st_size > MAX_ARCHIVE_BYTES:
            raise Malformed("archive-size", f"{path} is larger than {MAX_ARCHIVE_BYTES} bytes; make it an input")
        files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return pack(files)


def pack(files: Mapping[str, bytes]) -> bytes:
    """The archive of files by name.

    Raises:
        Missing: there is no ``recipe.py`` among them.
        Malformed: a name or the size is not allowed.

    """
    if ENTRY_FILE not in files:
        raise Missing("recipe-entry", f"expected {ENTRY_FILE} with a class Recipe beside the other files")
    if len(files) > MAX_FILES:
        raise Malformed("archive-size", f"expected at most {MAX_FILES} files, got {len(files)}")
    parts: list[bytes] = []
    for name, data in sorted(files.items()):
        if not _NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS:
            raise Malformed(
                "archive-name",
                f"expected names of at most {MAX_NAME_CHARS} ASCII letters, digits, '_', '.' and '-', got {name[:80]!r}",
            )
        info = tarfile.TarInfo(name)
        info.size = len(data)
        parts += [info.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % _BLOCK)]
    parts.append(bytes(2 * _BLOCK))
    archive = b"".join(parts)
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise Malformed("archive-size", f"expected at most {MAX_ARCHIVE_BYTES} bytes in all, got {len(archive)}")
    return archive


def unpack(archive: bytes) -> dict[str, bytes]:
    """The files of an archive; only the canonical form is accepted.

    Raises:
        Missing: there is no ``recipe.py`` in it.
        Malformed: too large, damaged, or packed otherwise than ``pack`` does.

    """
    if len(archive) > MAX_ARCHIVE_BYTES:
        raise Malformed("archive-size", f"expected at most {MAX_ARCHIVE_BYTES} bytes, got {len(archive)}")
    files: dict[str, bytes] = {}
    start = 0
    while start + _BLOCK <= len(archive) and archive[start] and len(files) <= MAX_FILES:
        header, start = archive[start : start + _BLOCK], start + _BLOCK
        if not _SIZE.fullmatch(header[124:136]):
            raise Malformed("archive-form", f"expected a ustar header at byte {start - _BLOCK}; pack the folder again")
        size = int(header[124:135], 8)
        files[header[:MAX_NAME_CHARS].rstrip(b"\0").decode("ascii", "replace")] = archive[start : start + size]
        start += size + -size % _BLOCK
    # Whatever was not looked at above differs from what packing these files gives, or is as it must be.
    if pack(files) != archive:
        raise Malformed("archive-form", "expected a canonical archive; pack the folder with `serai recipe pack`")
    return files


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != _SKIPPED and not name.startswith("."))
        for name in sorted([*names, *folders]):
            path = Path(place) / name
            if path.is_symlink():
                raise Malformed("archive-link", f"{path} is a link; put the file itself there")
            if name in folders or name.startswith("."):
                continue
            if not path.is_file():
                raise Malformed("archive-link", f"{path} is not a plain file")
            yield path
