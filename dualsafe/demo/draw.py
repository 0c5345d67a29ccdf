"""What is shown of a picture: enlarged, blurred, or with its mask over it."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

SIDE = 512
GRAIN = 8  # pixels that are left of the longer side, so that no sharpening brings the picture back
TINT = (20, 184, 166)


def enlarged(picture: Image.Image) -> Image.Image:
    """The picture in RGB, its longer side at least `SIDE` pixels."""
    picture = picture.convert("RGB")
    factor = SIDE / max(picture.size)
    return picture.resize(_scaled(picture, factor), Image.Resampling.BICUBIC) if factor > 1 else picture


def blurred(picture: Image.Image) -> Image.Image:
    """Its colours and rough layout, at the same size; the rest is gone."""
    small = picture.convert("RGB").resize(_scaled(picture, GRAIN / max(picture.size)), Image.Resampling.BOX)
    return small.resize(picture.size, Image.Resampling.BICUBIC)


def overlaid(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture, tinted and outlined where the mask (any size, white for yes) let it change."""
    where = mask.convert("L").resize(picture.size, Image.Resampling.BICUBIC).point(lambda v: 255 * (v > 127))
    grown = where.filter(ImageFilter.MaxFilter(2 * max(1, max(picture.size) // 170) + 1))
    edge = np.asarray(grown) > np.asarray(where)
    pixels = np.asarray(picture.convert("RGB")).astype(np.float32)
    pixels[np.asarray(where) > 0] *= 0.65
    pixels[np.asarray(where) > 0] += 0.35 * np.array(TINT, np.float32)
    pixels[edge] = TINT
    return Image.fromarray(pixels.round().astype(np.uint8))


def _scaled(picture: Image.Image, factor: float) -> tuple[int, int]:
    width, height = picture.size
    return max(1, round(width * factor)), max(1, round(height * factor))
