"""The arms of the comparison: which pictures each is trained on, the same number of pictures in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Arm = Literal["paired", "unpaired", "augmented"]
ARMS: tuple[Arm, ...] = get_args(Arm)
MEANING = {
    "paired": "n/2 pairs, both sides",
    "unpaired": "n/2 unsafe originals, and n/2 safe edited sides of other pairs and, where possible, other families",
    "augmented": "n/4 and n/4 as in unpaired, and a randomly flipped, cropped and recoloured copy of each",
}


@dataclass(frozen=True)
class Draw:
    """Pictures, as indices [copy, pair, side] of `Sides.x`."""

    copies: NDArray[np.intp]
    pairs: NDArray[np.intp]
    sides: NDArray[np.intp]

    @property
    def unsafe(self) -> NDArray[np.bool_]:
        return self.sides == 0

    def of(self, x: NDArray[Any]) -> NDArray[Any]:
        return x[self.copies, self.pairs, self.sides]


def draw(arm: Arm, n: int, families: NDArray[np.str_], seed: int) -> Draw:
    """An arm's `n` training pictures, half of them unsafe.

    With one seed, the paired and the unpaired arm have the same unsafe pictures, and a smaller `n` has some of a larger
    one's.

    Args:
        families: each training pair's.

    Raises:
        ValueError: n is no multiple of 4, or more than there are training pairs.
    """
    if n < 4 or n % 4 or n > len(families):
        raise ValueError(f"n={n} must be a multiple of 4, at most the number of training pairs, {len(families)}")
    if arm == "augmented":
        half = draw("unpaired", n // 2, families, seed)
        return Draw(np.repeat([0, 1], n // 2), np.tile(half.pairs, 2), np.tile(half.sides, 2))
    order = np.random.default_rng(seed).permutation(len(families))
    unsafe, others = order[: n // 2], order[n // 2 :]
    if arm == "paired":
        safe = unsafe
    else:
        related = np.isin(families[others], families[unsafe])
        safe = others[np.argsort(related, kind="stable")][: n // 2]
    return Draw(np.zeros(n, np.intp), np.concatenate([unsafe, safe]), np.repeat([0, 1], n // 2))
