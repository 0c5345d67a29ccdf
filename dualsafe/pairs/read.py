"""Reading a pair run back, a pair at a time."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import PairsError
from .shard import SHARDS, paths_of, wrong_with
from .spec import STATS, read_run

MENDING = "`dualsafe pairs verify {} --repair`, then the run's own command with --resume, makes it again"
"""What an error says of a damaged shard; takes the run's folder."""


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
        PairsError: there are none; or the run is finished, and one is missing or cut off.
    """
    if (folder / STATS).is_file():
        shards = range(read_run(folder)["shards"])
        for index in shards:
            if wrong := wrong_with(folder, index, thorough=False):
                raise PairsError(f"shard {index} of {folder}: {wrong}; {MENDING.format(folder)}")
        return [paths_of(folder, index)["tar"] for index in shards]
    marks = sorted((folder / SHARDS).glob("[0-9]*_stats.json"))
    if not marks:
        raise PairsError(f"{folder} holds no finished shard of pairs")
    return [mark.with_name(mark.name.replace("_stats.json", ".tar")) for mark in marks]


def read_pairs(folder: Path) -> Iterator[StoredPair]:
    """All pairs of the finished shards, in order.

    Raises:
        PairsError: no finished shard, or one that cannot be read.
    """
    for tar in tars_of(folder):
        yield from read_shard(tar)


def read_shard(tar: Path) -> Iterator[StoredPair]:
    """All pairs of one shard's tar, in order.

    Raises:
        PairsError: it cannot be read.
    """
    for files in _entries(tar):
        with _reading(tar, files["__key__"]):
            mask = files.get("mask.png")
            pair = StoredPair(
                json.loads(files["json"]),
                _picture(files["original.png"]),
                _picture(files["edited.png"]),
                None if mask is None else _picture(mask),
            )
        yield pair


def read_index(folder: Path) -> Iterator[dict[str, Any]]:
    """All rows of the finished shards, in order, from the index: metrics are cells, verdicts and truth JSON in text.

    Raises:
        PairsError: no finished shard, or one that cannot be read.
    """
    import pyarrow.parquet as pq

    for tar in tars_of(folder):
        index = tar.with_suffix(".parquet")
        with _reading(index), pq.ParquetFile(index) as file:
            rows = file.read().to_pylist()
        yield from rows


def _entries(tar: Path) -> Iterator[dict[str, Any]]:
    """Ending -> content, for each pair."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    with _reading(tar), tar.open("rb") as stream:
        entries = group_by_keys(tar_file_expander([{"url": str(tar), "stream": stream}]))
        while True:
            with _reading(tar):
                files = next(entries, None)
            if files is None:
                return
            yield files


@contextmanager
def _reading(tar: Path, pair: str = "") -> Iterator[None]:
    """Whatever a tar, PNG or JSON with other bytes than were written makes its reader raise, as one error."""
    try:
        yield
    except PairsError:
        raise
    except (tarfile.TarError, OSError, ValueError, KeyError, SyntaxError, zlib.error, struct.error, EOFError) as error:
        said = getattr(error, "strerror", None) or error.args[0]  # webdataset adds the stream
        place = f", pair {pair}," if pair else ""
        raise PairsError(f"{tar}{place} is damaged: {said}; {MENDING.format(tar.parent.parent)}") from error


def _picture(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image
