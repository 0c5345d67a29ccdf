"""Where in a picture an item can be, whatever its jitter."""

from __future__ import annotations

import random
from functools import lru_cache

import numpy as np

from .render import render
from .scene import jittered
from .world import ITEMS, SIZE


@lru_cache
def item_region(item: str) -> np.ndarray:
    """Every pixel that `item` or its counterpart covers in any of 60 jittered scenes: bool (64, 64)."""
    rng = random.Random(0)
    region = np.zeros((SIZE, SIZE), bool)
    for _ in range(60):
        for name in (item, ITEMS[item].counterpart or "none"):
            region |= render(jittered(rng, "park", "man", "blue", name)).item_mask
    return region
