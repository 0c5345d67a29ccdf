"""The arms of the comparison: which pictures each is trained on, the same number of pictures in both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Arm = Literal["paired", "unpaired"]
ARMS: tuple[Arm, ...] = get_args(Arm)
MEANING = {
    "paired": "n/2 pairs, both sides",
    "unpaired": "n/2 unsafe originals, and n/2 safe edited sides of other pairs and, where possible, other families",
}


@dataclass(frozen=True)
class Draw:
    """Pictures, as indices [pair, side] of `Sides.x`."""

    pairs: NDArray[np.intp]
    sides: NDArray[np.intp]

    @property
    def unsafe(self) -> NDArray[np.bool_]:
        return self.sides == 0

    def of(self, x: NDArray[Any]) -> NDArray[Any]:
        return x[self.pairs, self.sides]


def draw(arm: Arm, n: int, families: NDArray[np.str_], seed: int) -> Draw:
    """An arm's `n` training pictures, half of them unsafe.

    With one seed, both arms have the same unsafe pictures, and a smaller `n` has some of a larger one's.

    Args:
        families: each training pair's.

    Raises:
        ValueError: n is odd, or more than there are training pairs.
    """
    if n < 2 or n % 2 or n > len(families):
        raise ValueError(f"n={n} must be even, at most the number of training pairs, {len(families)}")
    order = np.random.default_rng(seed).permutation(len(families))
    unsafe, others = order[: n // 2], order[n // 2 :]
    if arm == "paired":
        safe = unsafe
    else:
        related = np.isin(families[others], families[unsafe])
        safe = others[np.argsort(related, kind="stable")][: n // 2]
    return Draw(np.concatenate([unsafe, safe]), np.repeat([0, 1], n // 2))
