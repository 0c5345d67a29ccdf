"""Reading a pair run back, a pair at a time."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import PairsError
from .shard import SHARDS


@dataclass(frozen=True)
class StoredPair:
    """A pair as it was written.

    Attributes:
        row: as `dualsafe.pairs.row.row_of` made it.
        mask: where the sides may differ, if the editor had one.
    """

    row: dict[str, Any]
    original: Image.Image
    edited: Image.Image
    mask: Image.Image | None


def tars_of(folder: Path) -> list[Path]:
    """The finished shards of a run, in order.

    Raises:
        PairsError: there are none.
    """
    tars = [tar for tar in sorted((folder / SHARDS).glob("[0-9]*.tar")) if _mark(tar).is_file()]
    if not tars:
        raise PairsError(f"{folder} holds no finished shard of pairs")
    return tars


def read_pairs(folder: Path) -> Iterator[StoredPair]:
    """All pairs of the finished shards, in order.

    Raises:
        PairsError: no finished shard, or one that can't be read.
    """
    for tar in tars_of(folder):
        yield from read_shard(tar)


def read_shard(tar: Path) -> Iterator[StoredPair]:
    """All pairs of one shard's tar, in order.

    Raises:
        PairsError: it can't be read.
    """
    for files in _entries(tar):
        mask = files.get("mask.png")
        yield StoredPair(
            json.loads(files["json"]),
            _picture(files["original.png"]),
            _picture(files["edited.png"]),
            None if mask is None else _picture(mask),
        )


def read_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """All rows of the finished shards, in order, without pictures.

    Raises:
        PairsError: no finished shard, or one that can't be read.
    """
    for tar in tars_of(folder):
        for files in _entries(tar, ".json"):
            yield json.loads(files["json"])


def _entries(tar: Path, ending: str = "") -> Iterator[dict[str, Any]]:
    """Ending -> content, for each pair; only files with names of this ending."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    try:
        with tar.open("rb") as stream:
            source = [{"url": str(tar), "stream": stream}]
            yield from group_by_keys(tar_file_expander(source, select_files=lambda name: name.endswith(ending)))
    except (tarfile.TarError, OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error.args[0]  # webdataset adds the stream
        raise PairsError(f"{tar} can't be read: {said}; `dualsafe pairs verify` says what is wrong") from error


def _picture(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def _mark(tar: Path) -> Path:
    return tar.with_name(f"{tar.stem}_stats.json")
