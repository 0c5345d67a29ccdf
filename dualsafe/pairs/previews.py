"""Some pairs of a run as grids to look at, with what is unsafe blurred beyond recognition."""

from __future__ import annotations

import re
from bisect import insort
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice, zip_longest
from pathlib import Path

from PIL import Image

from ..files import write_whole
from ..grid import draw_grid
from .card import PREVIEW
from .read import StoredPair, read_shard, tars_of

TILE = 160
PER_CATEGORY = 8
SHARDS_SEEN = 4
BLURRED = (4, 4)
"""Pixels that are left of an unsafe picture."""


@dataclass(frozen=True)
class Shown:
    """A pair in a grid.

    Attributes:
        order: pairs are taken by it; a hash.
        tiles: original, edited and mask, small; an unsafe one is a blur.
    """

    order: str
    title: str
    tiles: list[Image.Image]


def write_previews(folder: Path, count: int = 24) -> list[Path]:
    """Writes `previews/pairs.png`, and a `previews/category-NAME.png` for each category, of a run's verified pairs.

    Pairs are drawn by a hash of their ids, from shards that lie evenly over the run.

    Args:
        count: pairs in `pairs.png`, from one category after the other in turn.

    Returns:
        The files; none if no pair is verified.

    Raises:
        PairsError: no finished shard, or one that can't be read.
    """
    found = _found(folder, max(count, PER_CATEGORY))
    if not found:
        return []
    turns = chain.from_iterable(zip_longest(*found.values()))
    different = {shown.order: shown for shown in turns if shown is not None}
    grids = {folder / PREVIEW: [*islice(different.values(), count)]}
    for category, pairs in found.items():
        name = re.sub(r"[^\w-]+", "_", category)[:80]
        grids[folder / PREVIEW.with_name(f"category-{name}.png")] = pairs[:PER_CATEGORY]
    (folder / PREVIEW).parent.mkdir(exist_ok=True)
    for path, pairs in grids.items():
        _write(path, pairs)
    return list(grids)


def _write(path: Path, pairs: list[Shown]) -> None:
    grid = draw_grid(
        [each.tiles for each in pairs], ["original", "edited", "mask"], [each.title for each in pairs], TILE
    )
    write_whole(path, lambda file: grid.save(file, "PNG", optimize=True))


def _found(folder: Path, most: int) -> dict[str, list[Shown]]:
    """Category -> its pairs, in order, at most so many."""
    found: dict[str, list[Shown]] = {}
    tars = tars_of(folder)
    seen = min(SHARDS_SEEN, len(tars))
    for i in range(seen):
        for pair in read_shard(tars[i * len(tars) // seen]):
            if pair.row["tier"] != "verified":
                continue
            shown = _shown(pair)
            for category in pair.row["categories"] or ("none",):
                pairs = found.setdefault(category, [])
                insort(pairs, shown, key=lambda each: each.order)
                del pairs[most:]
    return dict(sorted(found.items()))


def _shown(pair: StoredPair) -> Shown:
    """The title holds the edited side's words, never the original's."""
    row = pair.row
    sides = [_tile(pair.original, row["original_label"]), _tile(pair.edited, row["edited_label"])]
    mask = Image.new("L", (1, 1), 255) if pair.mask is None else pair.mask
    words = [", ".join(row["categories"]) or row["kind"], row["edited_prompt"] or row["pair_id"]]
    order = sha256(row["pair_id"].encode()).hexdigest()
    return Shown(order, " ".join(": ".join(words).split()), [*sides, _tile(mask, "safe")])


def _tile(picture: Image.Image, label: str) -> Image.Image:
    if label == "unsafe":
        return picture.resize(BLURRED, Image.Resampling.BOX).resize((TILE, TILE), Image.Resampling.BICUBIC)
    return picture.convert("RGB").resize((TILE, TILE), Image.Resampling.LANCZOS)
