"""A base model on a zone's disk: a folder in the form of Hugging Face, pinned by one digest, without pickle.

Three kinds of files are read, and the digest covers exactly these: ``config.json``,
``tokenizer.json`` if there is one, and every ``*.safetensors``. Other files may lie
beside them and are never opened; weights in pickle form, which run code when they
are loaded, may not. No file names another: an index of shards is not read, so
nothing in the folder leads out of it.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from serai.errors import Malformed, Missing, Refused
from serai.kernel.ids import Digest

DOWN: Final = ".lora_A"
UP: Final = ".lora_B"
"""Ends of the names of an adapter's two matrices; what stands before them is the name of a layer."""

CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer.json"
MAX_SHARDS: Final = 1024
_MAX_BYTES: Final = {CONFIG: 2**20, TOKENIZER: 2**27}  # larger ones are something else
_PICKLED: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_PIECE: Final = 2**22
_WEIGHT: Final = ".weight"


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A base model.

    Attributes:
        folder: where it lies.
        files: the names of the files that are read, sorted.
        digest: over their names, sizes and contents.

    """

    folder: Path
    files: tuple[str, ...]
    digest: Digest

    @property
    def shards(self) -> tuple[Path, ...]:
        """The weights' files."""
        return tuple(self.folder / name for name in self.files if name.endswith(".safetensors"))

    @property
    def tokenizer(self) -> Path | None:
        """The tokenizer's file; None for a model on bytes."""
        return self.folder / TOKENIZER if TOKENIZER in self.files else None

    def config(self) -> dict[str, object]:
        """Its configuration.

        Raises:
            Malformed: it is no JSON object.

        """
        try:
            config = json.loads((self.folder / CONFIG).read_bytes())
        except (ValueError, RecursionError) as error:
            raise Malformed("base-model", f"expected JSON in {CONFIG}: {error}") from error
        if not isinstance(config, dict):
            raise Malformed("base-model", f"expected a JSON object in {CONFIG}")
        return config

    def matrices(self) -> Mapping[str, tuple[int, int]]:
        """The shapes ``(outputs, inputs)`` of its weight matrices, by the names of their modules.

        Raises:
            Malformed: a file of weights is damaged, or two hold weights of one name.

        """
        shapes: dict[str, tuple[int, ...]] = {}
        for path in self.shards:
            try:
                with safe_open(path, "np") as file:  # reads the header alone
                    found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # no dict
            except (SafetensorError, OSError) as error:
                raise Malformed("base-model", f"expected safetensors in {path.name}: {error}") from error
            if twice := shapes.keys() & found.keys():
                raise Malformed("base-model", f"expected each weight once, got {min(twice)[:80]!r} in two files")
            shapes |= found
        return {
            name.removesuffix(_WEIGHT): (shape[0], shape[1])
            for name, shape in sorted(shapes.items())
            if name.endswith(_WEIGHT) and len(shape) == 2
        }


def open_base_model(folder: Path) -> BaseModel:
    """Look at a folder and take its digest, which reads all of it once for each state of its files.

    Raises:
        Missing: there is no such folder, or no configuration or weights in it.
        Refused: it holds weights in pickle form, or a link.
        Malformed: a file is too large.

    """
    if not folder.is_dir():
        raise Missing("base-model", f"expected the folder of a base model at {folder}; correct [models] in zone.toml")
    names = sorted(path.name for path in folder.iterdir() if path.is_symlink() or path.is_file())
    if pickled := [name for name in names if name.lower().endswith(_PICKLED)]:
        raise Refused(
            "base-model-pickle",
            f"{folder} holds {pickled[0]}, and weights in pickle form run code when they are loaded; "
            "keep the safetensors files alone",
        )
    files = tuple(name for name in names if name in _MAX_BYTES or name.endswith(".safetensors"))
    shards = [name for name in files if name not in _MAX_BYTES]
    if CONFIG not in files or not 1 <= len(shards) <= MAX_SHARDS:
        raise Missing(
            "base-model", f"expected {CONFIG} and 1 to {MAX_SHARDS} *.safetensors in {folder}, got {len(shards)}"
        )
    return BaseModel(folder, files, _digest(folder, tuple((name, *_state(folder / name)) for name in files)))


def _state(path: Path) -> tuple[int, int, int]:
    if path.is_symlink():
        raise Refused("base-model-link", f"{path} is a link; put the file itself there (cp -L)")
    found = path.stat()
    if found.st_size > _MAX_BYTES.get(path.name, found.st_size):
        raise Malformed("base-model", f"{path} has {found.st_size} bytes, at most {_MAX_BYTES[path.name]} are read")
    return found.st_size, found.st_mtime_ns, found.st_ino


@functools.lru_cache(maxsize=64)
def _digest(folder: Path, states: tuple[tuple[str, int, int, int], ...]) -> Digest:
    """SHA-256 over a line for each file: its name, size and SHA-256. Kept for as long as no file changes."""
    lines = []
    for name, size, *_ in states:
        hasher = hashlib.sha256()
        with (folder / name).open("rb") as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
        lines.append(f"{name} {size} {hasher.hexdigest()}\n")
    return Digest(hashlib.sha256("".join(lines).encode()).hexdigest())
