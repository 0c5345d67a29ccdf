"""Pairs as parquet files with the pictures inside, for releases."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...optional import needed
from ..layout import JSON, METRICS, PICTURES, ROW, SPLITS, Layout
from ..read import StoredPair, read_pairs
from ..row import index_row, index_schema
from ..shard import pngs_of
from .target import exporting

if TYPE_CHECKING:
    import pyarrow.parquet as pq
    from datasets import Features

ROWS_PER_FILE = 1000
FILES = {split: f"{split}-*.parquet" for split in SPLITS}
LAYOUT = Layout(
    "parquet",
    opening="""from datasets import load_dataset

pair = load_dataset("PATH", split="train")[0]
pair["original"], pair["edited"], pair["mask"]  # pictures of PIL""",
    columns=PICTURES | ROW | METRICS | {name: f"{text}; JSON" for name, text in JSON.items()},
    files=FILES,
    notes=("Pictures are lossless PNG. What isn't known is null.",),
)
_GROUP = 50
"""Rows of a row group: what is held in memory, and what a reader of one row has to read."""


def export_parquet(folder: Path, out: Path, rows_per_file: int = ROWS_PER_FILE) -> None:
    """Writes a run's pairs as parquet files of `datasets`.

    Raises:
        PairsError: no finished run, or `out` is there already.
        ImportError: `datasets` isn't installed.
    """
    datasets = needed("datasets", "pairs")
    columns = datasets.Features.from_arrow_schema(index_schema())
    features = datasets.Features(dict.fromkeys(PICTURES, datasets.Image()) | columns)
    with exporting(folder, out, LAYOUT) as (partial, tally), Tables(partial, features, rows_per_file) as tables:
        for pair in read_pairs(folder):
            tables.add(pair.row["split"], _pictures(pair) | index_row(pair.row))
            tally.add(pair.row)


class Tables:
    """Parquet files `<split>-<number>.parquet`, written a row group at a time; a context manager."""

    def __init__(self, folder: Path, features: Features, rows_per_file: int):
        self._folder, self._schema, self._rows_per_file = folder, features.arrow_schema, rows_per_file
        self._rows: Counter[str] = Counter()
        self._waiting: dict[str, list[dict[str, Any]]] = {}
        self._writers: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> Tables:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for split, writer in self._writers.items():
            if kind is None:
                self._close(split)
                continue
            with suppress(OSError):  # of a disk that is full, which was said
                writer.close()

    def add(self, split: str, row: dict[str, Any]) -> None:
        import pyarrow.parquet as pq

        number, rest = divmod(self._rows[split], self._rows_per_file)
        if rest == 0:
            if number:
                self._close(split)
            self._writers[split] = pq.ParquetWriter(self._folder / f"{split}-{number:05d}.parquet", self._schema)
            self._waiting[split] = []
        self._rows[split] += 1
        self._waiting[split].append(row)
        if len(self._waiting[split]) == _GROUP:
            self._write(split)

    def _write(self, split: str) -> None:
        import pyarrow as pa

        self._writers[split].write_table(pa.Table.from_pylist(self._waiting[split], schema=self._schema))
        self._waiting[split] = []

    def _close(self, split: str) -> None:
        if self._waiting[split]:
            self._write(split)
        self._writers[split].close()


def _pictures(pair: StoredPair) -> dict[str, dict[str, Any] | None]:
    pngs = pngs_of(pair.row, pair)
    files = {name: {"bytes": png, "path": f"{pair.row['pair_id']}.{name}.png"} for name, png in pngs.items()}
    return dict.fromkeys(PICTURES) | files
