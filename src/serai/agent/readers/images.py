"""Reads images that lie in one folder for each label, every one of bounded size; needs Pillow."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from serai.agent.datasets import IMAGE_FOLDER, DatasetSettings, Images
from serai.agent.readers.cells import Batch, TextCells
from serai.agent.readers.files import list_files
from serai.errors import Malformed

MAX_PIXELS: Final = 1 << 25  # of an image as it is stored: a bomb of a few bytes may claim many more
_BATCH_BYTES: Final = 1 << 24
_FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "WEBP")
_MODES: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


def read_images(settings: DatasetSettings, *, with_pixels: bool) -> Iterator[Batch]:
    """Yield folder, and pixels if they are wanted, of every image, in the order of folders and names.

    Raises:
        Misconfigured: there is no such folder.
        Malformed: a file is no image, is too large, or has another size than the settings say.

    """
    assert settings.images is not None, "images have a size"
    folder = Path(settings.path)
    files = list_files(folder)
    if astray := [path for path in files if len(path.relative_to(folder).parts) != 2]:
        raise Malformed(
            "dataset-image", f"{astray[0]}: expected images in one folder for each label, directly under {folder}"
        )
    most = max(1, _BATCH_BYTES // settings.images.values)
    for start in range(0, len(files), most):
        some = files[start : start + most]
        pixels = np.stack([_read(path, settings.images) for path in some]) if with_pixels else None
        labels = TextCells([path.parent.name.strip() for path in some])
        yield Batch(len(some), {IMAGE_FOLDER: labels}, lambda row, some=some: str(some[row]), pixels)  # type: ignore[misc]


def _read(path: Path, wanted: Images) -> npt.NDArray[np.uint8]:
    """One image, ``(values,) uint8``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is only odd about a file
            return _pixels(path, wanted)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise Malformed("dataset-image", f"{path}: expected an image of 8 bits a channel: {str(error)[:200]}") from None


def _pixels(path: Path, wanted: Images) -> npt.NDArray[np.uint8]:
    size = (wanted.width, wanted.height)
    with Image.open(path, formats=_FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"it has {image.width} x {image.height} pixels; at most {MAX_PIXELS} are read")
        if image.size != size and not wanted.resize:
            raise ValueError(f"it has {image.width} x {image.height} pixels, the settings say {size[0]} x {size[1]}")
        if image.mode not in _MODES:
            raise ValueError(f"its channels are of kind {image.mode}; convert it")
        plain = image.convert("RGB" if wanted.color else "L")
        if plain.size != size:
            plain = plain.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(plain, np.uint8).reshape(-1)
