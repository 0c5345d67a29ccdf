"""Pairs and labelled pictures as arrays of what a learner sees in them; pictures are streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..pairs.read import read_pairs

Array = NDArray[Any]
See = Callable[[list[Image.Image]], Array]
BATCH = 32


@dataclass(frozen=True)
class Sides:
    """Both sides of pairs.

    Attributes:
        x: features (pairs, 2, F) of original and edited.
        families: each pair's prompt family.
    """

    x: Array
    families: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.families)


@dataclass(frozen=True)
class Labelled:
    """Pictures to test on.

    Attributes:
        groups: what is resampled together: the prompt family, for pairs.
        paired: pictures 2i and 2i + 1 are the sides of a pair.
    """

    x: Array
    unsafe: NDArray[np.bool_]
    groups: NDArray[np.str_]
    paired: bool


def read_sides(folder: Path, keep: Callable[[dict[str, Any]], bool], see: See) -> Sides:
    """The verified pairs of a run whose rows `keep` wants.

    Raises:
        PairsError: no pair run.
        ValueError: it has no such pairs.
    """
    pairs = (pair for pair in read_pairs(folder) if pair.row["tier"] == "verified" and keep(pair.row))
    parts, families = [], []
    for batch in _batches(pairs):
        seen = see([image.convert("RGB") for pair in batch for image in (pair.original, pair.edited)])
        parts.append(seen.reshape(len(batch), 2, *seen.shape[1:]))
        families += [pair.row["family"] for pair in batch]
    if not parts:
        raise ValueError(f"{folder} has no verified pairs of the kind and split that are needed")
    return Sides(np.concatenate(parts), np.array(families))


def flips(row: dict[str, Any]) -> bool:
    """Whether a pair's original is unsafe and its edited side safe."""
    return (row["original_label"], row["edited_label"]) == ("unsafe", "safe")


def labelled(sides: Sides) -> Labelled:
    """Pairs as a test set."""
    x = sides.x.reshape(-1, *sides.x.shape[2:])
    return Labelled(x, np.tile([True, False], len(sides)), sides.families.repeat(2), paired=True)


def read_pictures(folder: Path, see: See) -> Labelled:
    """The pictures in the folders "unsafe" and "safe" of a folder.

    Raises:
        ValueError: either has none.
    """
    parts: list[Array] = []
    paths = {side: sorted(p for p in (folder / side).glob("*") if p.suffix in _SUFFIXES) for side in ("unsafe", "safe")}
    for side, found in paths.items():
        if not found:
            raise ValueError(f"{folder} is no pair run, and its folder {side!r} has no {', '.join(_SUFFIXES)}")
        parts += [see([Image.open(path) for path in batch]) for batch in _batches(found)]
    unsafe = np.repeat([True, False], [len(paths["unsafe"]), len(paths["safe"])])
    return Labelled(np.concatenate(parts), unsafe, np.arange(len(unsafe)).astype(str), paired=False)


_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(items)
    while batch := list(islice(left, BATCH)):
        yield batch
