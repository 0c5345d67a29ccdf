"""Pairs as parquet files with the pictures inside, for releases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...optional import needed
from ..layout import PICTURES, SPLITS, Layout
from ..read import StoredPair
from ..row import JSON, METRICS, ROW, index_row, index_schema
from ..shard import pngs_of

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_FILE = 1000
ROWS_PER_GROUP = 50
"""What is held in memory, and what a reader of one row has to read."""
FILES = {split: f"{split}_*.parquet" for split in SPLITS}
LAYOUT = Layout(
    "parquet",
    opening="""from datasets import load_dataset

pair = load_dataset("PATH", split="train")[0]
pair["original"], pair["edited"], pair["mask"]  # pictures of PIL""",
    columns=PICTURES | ROW | METRICS | {name: f"{text}; JSON" for name, text in JSON.items()},
    files=FILES,
    notes=("Pictures are lossless PNG. What is not known is null.",),
)


def write(pairs: Iterable[StoredPair], folder: Path) -> None:
    """Writes pairs as parquet files of `datasets`.

    Raises:
        ImportError: `datasets` is not installed.
    """
    datasets = needed("datasets", "pairs")
    columns = datasets.Features.from_arrow_schema(index_schema())
    features = datasets.Features(dict.fromkeys(PICTURES, datasets.Image()) | columns)
    rows = ((pair.row["split"], _pictures(pair) | index_row(pair.row)) for pair in pairs)
    write_tables(rows, features.arrow_schema, folder)


def write_tables(rows: Iterable[tuple[str, dict[str, Any]]], schema: pa.Schema, folder: Path) -> None:
    """Writes splits and their rows as `<split>_<number>.parquet`, a row group at a time."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    by_split = pa.schema([("into", pa.string())])  # is no column of the files, but names them

    def groups() -> Iterator[pa.RecordBatch]:
        left = ({"into": split} | row for split, row in rows)
        for first in left:
            group = [first, *islice(left, ROWS_PER_GROUP - 1)]
            yield pa.RecordBatch.from_pylist(group, schema=whole)

    whole = schema.append(by_split.field(0))
    ds.write_dataset(
        groups(),
        folder,
        schema=whole,
        format="parquet",
        basename_template="{i}.parquet",
        partitioning=ds.partitioning(by_split, flavor="filename"),
        use_threads=False,  # in order
        max_rows_per_file=ROWS_PER_FILE,
        max_rows_per_group=ROWS_PER_GROUP,
    )


def _pictures(pair: StoredPair) -> dict[str, dict[str, Any] | None]:
    pngs = pngs_of(pair.row, pair)
    files = {name: {"bytes": png, "path": f"{pair.row['pair_id']}.{name}.png"} for name, png in pngs.items()}
    return dict.fromkeys(PICTURES) | files
