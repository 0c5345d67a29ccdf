"""How a folder's files hold pairs: what a dataset card says of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .row import JSON, METRICS, ROW

SPLITS = ("train", "validation", "test")
PICTURES = {
    "original": "the first side",
    "edited": "the second side, of the same size",
    "mask": "where the sides may differ, white for yes; none where the editor had no mask",
}


@dataclass(frozen=True)
class Layout:
    """How files hold pairs.

    Attributes:
        name: of the format.
        opening: Python that opens it, for a folder called PATH.
        columns: name -> meaning.
        files: split -> pattern of its files.
        notes: what else a reader of the files should know.
        tasks: what the Hugging Face hub files such a dataset under.
        only: column -> value of the pairs that are taken; all are, if it is empty.
    """

    name: str
    opening: str
    columns: dict[str, str]
    files: dict[str, str]
    notes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ("image-classification", "text-to-image")
    only: dict[str, str] = field(default_factory=dict)

    def takes(self, row: dict[str, Any]) -> bool:
        """Whether a pair goes into such files, by its row or its index's."""
        return all(row[column] == value for column, value in self.only.items())


RUN = Layout(
    "WebDataset",
    opening="""from datasets import load_dataset

pairs = load_dataset("PATH", split="pairs")  # streaming=True reads without a copy
train = pairs.filter(lambda pair: pair["json"]["split"] == "train")
train[0]["original.png"], train[0]["edited.png"], train[0]["mask.png"], train[0]["json"]

index = load_dataset("parquet", data_files="PATH/shards/*.parquet", split="train")  # the rows, no pictures

import webdataset

pairs = webdataset.WebDataset("PATH/shards/{00000..LAST}.tar", shardshuffle=False).decode("pil")""",
    columns={f"{name}.png": text for name, text in PICTURES.items()}
    | {f"json: {name}": text for name, text in ROW.items()}
    | {f"json: metrics: {name}": text for name, text in METRICS.items()}
    | {f"json: {name}": text for name, text in JSON.items()},
    files={"pairs": "shards/*.tar"},
    notes=(
        "All splits are in the same shards, as one split called `pairs`: filter by the column `split`.",
        "`shards/*.parquet` holds the rows without pictures, with the metrics as columns of their own, and verdicts "
        "and truth as JSON in text; `load_dataset` cannot open both under one name, hence the second call.",
        "`shards/*.rejected.jsonl` holds the rows of pairs that were made and not written, `errors.jsonl` what failed.",
        'PNG files carry `{"label": "unsafe"}` or `{"label": "safe"}` as text under the key `dualsafe`.',
    ),
)
