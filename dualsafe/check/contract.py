"""What must hold on any weights: where nothing is to change, the pictures are the stock pipeline's to the bit."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..config import MethodSettings
from .drawing import Drawing
from .ladders import Ladder

WHOLE = MethodSettings(tau=0.0, mask_floor=None)
NEAR = 1e-3
"""How far rounding takes the latents of a safe branch, of deviation 1, from a stock call's in float32."""


class Kept(NamedTuple):
    """A promise, and whether it was kept.

    Attributes:
        off: largest difference of the latents from what was promised; None where one of them is no number.
        required: whether a check fails without it.
    """

    promise: str
    kept: bool
    off: float | None
    required: bool = True


def contracts(drawing: Drawing, ladder: Ladder, plain: str, seed: int = 0) -> list[Kept]:
    """Draws a prompt with what is to stand in its place, beside one that is left as it is.

    Args:
        plain: a prompt in which no policy finds anything.
    """
    prompts, safe = [ladder.prompt, plain], [ladder.safe_prompt, None]
    stock = drawing.stock(prompts, seed)
    off = drawing.dual(prompts, seed, safety_level=0).images
    pair = drawing.dual(prompts, seed, safe_prompt=safe, return_pair=True)
    found = [
        _kept("level 0 is the stock picture", off, stock),
        _kept("a pair's original is the stock picture", pair.unsafe_images, stock),
        _kept("a benign prompt beside another is the stock picture", pair.images[1:], stock[1:]),
    ]
    replaced = [ladder.safe_prompt, plain]
    whole = drawing.dual(prompts, seed, safe_prompt=replaced, settings=WHOLE).images
    exact = stock.dtype == torch.float32
    promise = "level 1 without mask and shared phase is the stock picture of the safe prompt"
    found.append(_kept(promise, whole, drawing.stock(replaced, seed), NEAR, exact))
    return found


def _kept(promise: str, found: Tensor, expected: Tensor, within: float = 0.0, required: bool = True) -> Kept:
    off = (found.float() - expected.float()).abs().max().item()
    return Kept(promise, off <= within, off if math.isfinite(off) else None, required)
