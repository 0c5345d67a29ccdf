"""Users' own pictures: found inside their folder, refused with a reason, or read as plain RGB."""

from __future__ import annotations

import math
from pathlib import Path, PureWindowsPath

import numpy as np
from PIL import Image, ImageOps

from ..errors import PairsError

MOST_PIXELS = 64_000_000
MOST_SIDE, LEAST_SIDE = 16_384, 16
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""What is read: pixels only, nothing that runs a program or renders a page."""


def resolve_inside(folder: Path, name: str) -> Path:
    """The file that a list in `folder` calls `name`, links followed.

    Raises:
        PairsError: an absolute name, or one that leads out of the folder by `..` or by a link.
    """
    if not name or "\0" in name or Path(name).is_absolute() or PureWindowsPath(name).anchor:
        raise PairsError(f"{name!r} is no name of a file inside {folder}")
    home = folder.resolve()
    path = (home / name).resolve()
    if path == home or not path.is_relative_to(home):
        raise PairsError(f"{name!r} leads out of {folder}")
    return path


def load_picture(path: Path) -> Image.Image:
    """An existing picture in RGB, upright, at its own size; what is transparent becomes white.

    Size and format are looked at before any pixel is decoded.

    Raises:
        PairsError: no such file, none of FORMATS, damaged, too large, too small, animated, or without a known range
            of values; names the file.
    """
    if not path.is_file():
        raise PairsError(f"{path} is not a file")
    try:
        with Image.open(path, formats=FORMATS) as image:
            if reason := _unfit(image):
                raise PairsError(f"{path} {reason}")
            image.load()
            return _plain(ImageOps.exif_transpose(image))
    except PairsError:
        raise
    except Exception as error:  # a damaged file makes a decoder raise anything
        raise PairsError(f"{path} cannot be read as a picture: {error}") from error


def fitted(image: Image.Image, side: int, multiple: int) -> Image.Image:
    """The picture at about side x side pixels, its shape kept but for a crop to multiples of `multiple`."""
    scale = side / math.sqrt(image.width * image.height)
    width, height = (max(1, round(length * scale / multiple)) * multiple for length in image.size)
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def _unfit(image: Image.Image) -> str | None:
    """What the header says against a picture."""
    width, height = image.size
    if width * height > MOST_PIXELS or max(image.size) > MOST_SIDE:
        return f"has {width}x{height} pixels: at most {MOST_PIXELS} in all and {MOST_SIDE} a side are read"
    if min(image.size) < LEAST_SIDE:
        return f"has {width}x{height} pixels, too small to show anything: a side takes at least {LEAST_SIDE}"
    if image.format != "MPO" and getattr(image, "is_animated", False):  # MPO is one still with previews
        return "is animated or has several pages: give a single picture"
    return None


def _plain(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    if image.mode == "F":
        raise ValueError("its values are floats, of which nobody says which is white")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16 bits a pixel as 8; conversion by PIL would cut them off at 255."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65_535:
        raise ValueError("it has 32 bits a pixel, of which nobody says which is white")
    return Image.fromarray((values / 257).round().astype(np.uint8))
