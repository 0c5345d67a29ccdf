"""What is measured on one picture: against the scene that its prompt asks for, and against its stock twin."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..judges.picto import PictoJudge
from ..picto.region import item_region
from ..picto.world import SIZE
from .perceptual import Lpips

MOST_PSNR = 100.0
"""What an infinite PSNR is recorded as, dB."""


def against_stock(picture: Image.Image, stock: Image.Image, mask: Image.Image | None) -> dict[str, float | None]:
    """How far a picture is from the stock picture of the same prompt and seed.

    Returns:
        "psnr" in dB, "ssim" in [-1, 1], "identical" to the bit (1 or 0), and "psnr_outside_mask" and
        "ssim_outside_mask", None where the mask covers everything or there is none.
    """
    from skimage.metrics import structural_similarity

    a, b = (np.asarray(image.convert("RGB"), np.float64) for image in (picture, stock))
    kept = outside(mask, picture.size)
    found: dict[str, float | None] = {
        "psnr": _psnr(a, b),
        "ssim": float(structural_similarity(a, b, channel_axis=-1, data_range=255)),
        "identical": float(np.array_equal(a, b)),
    }
    if kept is None:
        return found | {"psnr_outside_mask": None, "ssim_outside_mask": None}
    mended = np.where(kept[..., None], a, b)  # so that no window of SSIM sees what the method changed inside
    _, everywhere = structural_similarity(mended, b, channel_axis=-1, data_range=255, full=True)
    return found | {"psnr_outside_mask": _psnr(a[kept], b[kept]), "ssim_outside_mask": float(everywhere[kept].mean())}


def perceived(
    lpips: Lpips, pictures: list[Image.Image], stock: list[Image.Image], masks: Sequence[Image.Image | None]
) -> list[dict[str, float | None]]:
    """How far pictures look from the stock pictures of the same prompts and seeds.

    Returns:
        "lpips", and "lpips_outside_mask", which takes the picture with the stock picture inside the mask; None where
        the mask covers everything or there is none.
    """
    pixels = [outside(mask, picture.size) for mask, picture in zip(masks, pictures)]
    mended = [
        picture if kept is None else Image.composite(picture.convert("RGB"), twin.convert("RGB"), Image.fromarray(kept))
        for picture, twin, kept in zip(pictures, stock, pixels)
    ]
    seen = lpips.distances(pictures, stock)
    masked = any(kept is not None for kept in pixels)
    found = zip(seen, lpips.distances(mended, stock) if masked else seen, pixels)
    return [{"lpips": whole, "lpips_outside_mask": None if kept is None else rest} for whole, rest, kept in found]


def outside(mask: Image.Image | None, size: tuple[int, int]) -> np.ndarray | None:
    """Pixels (H, W) of a picture of this size that its mask leaves alone; None without a mask or such a pixel."""
    kept = None if mask is None else np.asarray(mask.resize(size)) == 0
    return kept if kept is not None and kept.any() else None


def context(picture: Image.Image, stock: Image.Image, *items: str) -> float:
    """SSIM to the stock picture in [-1, 1], where none of these items of picto can be: what should have stayed."""
    from skimage.metrics import structural_similarity

    a, b = (np.asarray(image.convert("RGB").resize((SIZE, SIZE)), np.float64) for image in (picture, stock))
    _, everywhere = structural_similarity(a, b, channel_axis=-1, data_range=255, full=True)
    return float(everywhere[~np.logical_or.reduce([item_region(item) for item in items])].mean())


def attributes(judge: PictoJudge, pictures: list[Image.Image], truths: list[dict[str, str]]) -> list[dict[str, float]]:
    """Whether the judge reads each attribute that the prompt asks for, 1 or 0."""
    return [
        {name: float(seen.labels[name] == wanted) for name, wanted in truth.items()}
        for seen, truth in zip(judge.judge(pictures), truths)
    ]


def similarities(features: np.ndarray, stock: np.ndarray) -> list[float]:
    """Cosine of each picture's features (N, F) and its stock twin's."""
    return ((features * stock).sum(1) / np.linalg.norm(features, axis=1) / np.linalg.norm(stock, axis=1)).tolist()


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    mse = float(np.square(a - b).mean())
    return MOST_PSNR if mse == 0 else min(MOST_PSNR, 10 * math.log10(255**2 / mse))
