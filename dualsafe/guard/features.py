"""Pairs and labelled pictures as arrays of what a learner sees in them; pictures are streamed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from ..pairs.read import StoredPair, read_pairs

Array = NDArray[Any]
See = Callable[[list[Image.Image]], Array]
BATCH = 32


@dataclass(frozen=True)
class Sides:
    """Both sides of pairs.

    Attributes:
        x: (copies, pairs, 2, ...): original and edited; the second copy, if asked for, is randomly augmented.
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


def read_sides(folder: Path, keep: Callable[[dict[str, Any]], bool], see: See, copies: int = 1) -> Sides:
    """The verified pairs of a run whose rows `keep` wants.

    Raises:
        PairsError: no pair run.
        ValueError: it has no such pairs.
    """
    pairs = (pair for pair in read_pairs(folder) if pair.row["tier"] == "verified" and keep(pair.row))
    parts, families = [], []
    for batch in _batches(pairs):
        images = [image for k in range(copies) for pair in batch for image in _sides(pair, augmented=k > 0)]
        seen = see(images)
        parts.append(seen.reshape(copies, len(batch), 2, *seen.shape[1:]))
        families += [pair.row["family"] for pair in batch]
    if not parts:
        raise ValueError(f"{folder} has no verified pairs of the kind and split that are needed")
    return Sides(np.concatenate(parts, axis=1), np.array(families))


def flips(row: dict[str, Any]) -> bool:
    """Whether a pair's original is unsafe and its edited side safe."""
    return (row["original_label"], row["edited_label"]) == ("unsafe", "safe")


def labelled(sides: Sides) -> Labelled:
    """Pairs as a test set."""
    x = sides.x[0].reshape(-1, *sides.x.shape[3:])
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


def altered(image: Image.Image, rng: random.Random) -> Image.Image:
    """The picture, perhaps mirrored, cropped to at least 80% of its sides, its colours changed by up to 20%."""
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    share = rng.uniform(0.8, 1.0)
    width, height = image.width * share, image.height * share
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    image = image.resize(image.size, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = change(image).enhance(rng.uniform(0.8, 1.2))
    return image


_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def _sides(pair: StoredPair, augmented: bool) -> list[Image.Image]:
    sides = {"original": pair.original.convert("RGB"), "edited": pair.edited.convert("RGB")}
    if not augmented:
        return [*sides.values()]
    return [altered(image, random.Random(f"{pair.row['pair_id']}/{side}")) for side, image in sides.items()]


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(items)
    while batch := list(islice(left, BATCH)):
        yield batch
