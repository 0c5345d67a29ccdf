"""What is measured on one picture: against the scene that its prompt asks for, and against its stock twin."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from ..judges.picto import PictoJudge
from ..picto.region import item_region
from ..picto.world import SIZE

MOST_PSNR = 100.0
"""What an infinite PSNR is recorded as, dB."""


def against_stock(picture: Image.Image, stock: Image.Image, mask: Image.Image | None) -> dict[str, float | None]:
    """How far a picture is from the stock picture of the same prompt and seed.

    Returns:
        "psnr" in dB, "ssim" in [-1, 1], "identical" to the bit (1 or 0), and "psnr_outside_mask", None where the mask
        covers everything or there is none.
    """
    from skimage.metrics import structural_similarity

    a, b = (np.asarray(image.convert("RGB"), np.float64) for image in (picture, stock))
    kept = None if mask is None else np.asarray(mask.resize(picture.size)) == 0
    return {
        "psnr": _psnr(a, b),
        "ssim": float(structural_similarity(a, b, channel_axis=-1, data_range=255)),
        "identical": float(np.array_equal(a, b)),
        "psnr_outside_mask": None if kept is None or not kept.any() else _psnr(a[kept], b[kept]),
    }


def context(picture: Image.Image, stock: Image.Image, item: str) -> float:
    """SSIM to the stock picture in [-1, 1], over the pixels where picto's item can't be: what should have stayed."""
    from skimage.metrics import structural_similarity

    a, b = (np.asarray(image.convert("RGB").resize((SIZE, SIZE)), np.float64) for image in (picture, stock))
    _, everywhere = structural_similarity(a, b, channel_axis=-1, data_range=255, full=True)
    return float(everywhere[~item_region(item)].mean())


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
