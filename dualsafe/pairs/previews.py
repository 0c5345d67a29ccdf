"""Some pairs of a run as a grid to look at, with what is unsafe blurred beyond recognition."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from heapq import nsmallest
from pathlib import Path

from PIL import Image

from ..files import write_whole
from ..grid import draw_grid
from .card import PREVIEW
from .read import StoredPair, read_shard, tars_of

TILE = 160
SHARDS_SEEN = 4
BLURRED = (4, 4)
"""Pixels that are left of an unsafe picture."""
Shown = tuple[str, str, list[Image.Image]]
"""The hash that a pair is drawn by, its title, and its tiles: original, edited, mask; an unsafe one is a blur."""


def write_previews(folder: Path, count: int = 24) -> None:
    """Writes `previews/pairs.png` of a run's verified pairs, if there are any.

    Pairs are drawn by a hash of their ids, from shards that lie evenly over the run.

    Raises:
        PairsError: no finished shard, or one that cannot be read.
    """
    found = nsmallest(count, _verified(folder), key=lambda shown: shown[0])
    if not found:
        return
    _, titles, tiles = zip(*found)
    grid = draw_grid(list(tiles), ["original", "edited", "mask"], list(titles), TILE)
    (folder / PREVIEW).parent.mkdir(exist_ok=True)
    write_whole(folder / PREVIEW, lambda file: grid.save(file, "PNG", optimize=True))


def _verified(folder: Path) -> Iterator[Shown]:
    tars = tars_of(folder)
    seen = min(SHARDS_SEEN, len(tars))
    for i in range(seen):
        for pair in read_shard(tars[i * len(tars) // seen]):
            if pair.row["tier"] == "verified":
                yield _shown(pair)


def _shown(pair: StoredPair) -> Shown:
    """The title holds the edited side's words, never the original's."""
    row = pair.row
    sides = [_tile(pair.original, row["original_label"]), _tile(pair.edited, row["edited_label"])]
    mask = Image.new("L", (1, 1), 255) if pair.mask is None else pair.mask
    words = [", ".join(row["categories"]) or row["kind"], row["edited_prompt"] or row["pair_id"]]
    title = " ".join(": ".join(words).split())
    return sha256(row["pair_id"].encode()).hexdigest(), title, [*sides, _tile(mask, "safe")]


def _tile(picture: Image.Image, label: str) -> Image.Image:
    if label == "unsafe":
        return picture.resize(BLURRED, Image.Resampling.BOX).resize((TILE, TILE), Image.Resampling.BICUBIC)
    return picture.convert("RGB").resize((TILE, TILE), Image.Resampling.LANCZOS)
