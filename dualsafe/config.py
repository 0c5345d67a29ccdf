"""Settings of the method, and the presets of the dial."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import TypeGuard

import numpy as np

PRESETS: dict[str, float] = {"off": 0.0, "low": 0.25, "medium": 0.5, "high": 0.75, "max": 1.0}
"""Names of safety levels."""


UNCALIBRATED: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.0, 1.0))
CALIBRATED: tuple[tuple[float, float], ...] = (
    (0.0, 0.0), (0.05, 0.36), (0.25, 0.48), (0.5, 0.59), (0.75, 0.68), (0.95, 0.76), (1.0, 1.0),
)  # fmt: skip
"""Levels to weights by which the share of unsafe pictures falls evenly, on picto: `sweeps.py uncalibrated`."""


@dataclass(frozen=True)
class MethodSettings:
    """How the two trajectories are combined. Progress: 0 is pure noise, 1 the finished picture.

    Raises:
        ValueError: a value is out of its range.
    """

    tau: float = 0.16
    """Progress, in [0, 1], until which both branches share the original's steps; fewer where a call has few, so that
    the safe branch gets its own. Higher keeps more of the original's layout and saves rows; too high (0.2 on picto, for
    one prompt in ten) and what is unsafe cannot be taken back."""

    mask_floor: float | None = 1.0
    """Difference of the clean latents, in standard deviations, over which a place may change; None changes all places.
    Higher changes less of the picture. Where a sample's differences are faint, its floor is lower."""

    latent_gate: float | None = 0.6
    """Progress, in [0, 1], from which a sample whose mask was empty at every step so far follows the original for good:
    its picture is the stock picture, to the bit. Never one in whose words or picture something unsafe was found. Lower
    saves rows where the two conditions mean the same."""

    dial: tuple[tuple[float, float], ...] = CALIBRATED
    """Which weight of the safe branch each safety level stands for: points (level, weight) from (0, 0) to (1, 1), with
    straight lines between. `UNCALIBRATED` takes the level itself as the weight."""

    original_interval: float | None = 0.12
    """Progress, in (0, 1], after which a call that does not return the original computes it once more; between, its
    clean latents are carried on in a straight line. Higher saves rows and keeps less of the original; None computes it
    at every step. At full weight without a mask nothing is steered by it, and it is not computed."""

    watch: float | None = 0.0
    """Margin, in [-1, 1], from which a picture whose prompt names nothing is drawn again with a safe branch: at 0 one
    of the policy's concepts explains it as well as the best harmless text does. Lower finds more, and changes more
    pictures that were harmless. `dualsafe calibrate` finds a checkpoint's own. None leaves the watch out."""

    preview: float = 0.5
    """Progress, in [0, 1], at which the watch and a preview judge look. Higher sees more surely and spends more."""

    composite: bool = False
    """Whether pixels outside the mask are taken from the original, to the bit. Costs one more decode."""

    stacked: bool = False
    """Whether both branches share one denoiser call. Faster for small batches on a GPU; the original then equals the
    stock picture to rounding instead of to the bit."""

    sparse: bool = False
    """Whether the safe branch is computed in part: a UNet's on the original's deepest features; that of a transformer
    of Stable Diffusion 3's kind at the mask's tokens alone, in the steps between those that compute the original
    (`original_interval`), for the memory of the original's keys and values."""

    def __post_init__(self) -> None:
        for name in ("tau", "latent_gate", "original_interval", "preview"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and 0 <= value <= 1):
                raise ValueError(f"{name}={value!r} must be a number in [0, 1]")
        if self.mask_floor is not None and not (_is_number(self.mask_floor) and self.mask_floor > 0):
            raise ValueError(f"mask_floor={self.mask_floor!r} must be a number over 0, or None for no mask")
        if self.watch is not None and not (_is_number(self.watch) and -1 <= self.watch <= 1):
            raise ValueError(f"watch={self.watch!r} must be a number in [-1, 1], or None for no watch")
        if self.original_interval == 0:
            raise ValueError("original_interval=0 must be over 0, or None to compute the original at every step")
        levels, weights = zip(*self.dial) if _is_curve(self.dial) else ((), ())
        if not levels or list(levels) != sorted(set(levels)) or list(weights) != sorted(weights):
            raise ValueError(f"dial={self.dial!r} must be rising points (level, weight) from (0, 0) to (1, 1)")
        for name in ("composite", "sparse"):
            if getattr(self, name) and self.mask_floor is None:
                raise ValueError(f"{name}=True needs a mask: give mask_floor a number")
        if self.sparse and self.stacked:
            raise ValueError("sparse=True computes the branches apart: set stacked=False")
        if self.sparse and self.original_interval is None:
            raise ValueError("sparse=True works between steps that compute the original: set original_interval")

    def weight_of(self, level: float) -> float:
        """The safe branch's weight at a safety level, both in [0, 1]."""
        levels, weights = zip(*self.dial)
        return float(np.interp(level, levels, weights))


def resolve_level(level: float | str) -> float:
    """A safety level as a number in [0, 1].

    Args:
        level: a number in [0, 1] or a name from PRESETS.

    Raises:
        ValueError: unknown name, not a number, NaN, or outside [0, 1].
    """
    if isinstance(level, str):
        if level not in PRESETS:
            raise ValueError(f"safety_level={level!r} is not one of {', '.join(PRESETS)}, nor a number in [0, 1]")
        return PRESETS[level]
    if not _is_number(level) or not 0 <= level <= 1:
        raise ValueError(f"safety_level={level!r} must be a number in [0, 1] or one of {', '.join(PRESETS)}")
    return float(level)


def _is_curve(dial: object) -> bool:
    """Whether these are points (level, weight), from (0, 0) to (1, 1)."""
    if not isinstance(dial, (tuple, list)) or len(dial) < 2:
        return False
    pairs = all(isinstance(p, (tuple, list)) and len(p) == 2 and all(map(_is_number, p)) for p in dial)
    return pairs and tuple(dial[0]) == (0, 0) and tuple(dial[-1]) == (1, 1)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
