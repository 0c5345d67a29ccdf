"""Pairs as an image folder: PNG files that anything opens, and a metadata.jsonl for each split."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from PIL import Image

from ..layout import PICTURES, SPLITS, Layout
from ..read import StoredPair
from ..row import JSON, ROW, index_row
from ..shard import pngs_of

LAYOUT = Layout(
    "imagefolder",
    opening="""from datasets import load_dataset

pair = load_dataset("PATH", split="train")[0]  # or load_dataset("imagefolder", data_dir="PATH")
pair["original"], pair["edited"], pair["mask"]  # pictures of PIL""",
    columns=PICTURES
    | {"mask": "where the sides may differ, white for yes; white all over where the editor had none"}
    | {"has_mask": "whether the editor had a mask"}
    | ROW
    | {"metrics": "PSNR, SSIM and identity of the sides, inside and outside the mask; JSON"}
    | {name: f"{text}; JSON" for name, text in JSON.items()},
    files={split: f"{split}/**" for split in SPLITS},
    notes=(
        "Each split is a folder of `images/<pair_id>.original.png`, `.edited.png` and `.mask.png`, and a "
        "`metadata.jsonl` that names them in `original_file_name`, `edited_file_name` and `mask_file_name`.",
        "So that all splits have the same columns, lists are JSON in text and a text that is not there is empty.",
        'PNG files carry `{"label": "unsafe"}` or `{"label": "safe"}` as text under the key `dualsafe`.',
    ),
)


def write(pairs: Iterable[StoredPair], folder: Path) -> None:
    """Writes pairs as an image folder for each split."""
    with ExitStack() as stack:
        metadata: dict[str, IO[str]] = {}
        for pair in pairs:
            within = folder / pair.row["split"]
            if within.name not in metadata:
                (within / "images").mkdir(parents=True)
                metadata[within.name] = stack.enter_context((within / "metadata.jsonl").open("w", encoding="utf-8"))
            metadata[within.name].write(json.dumps(_written(pair, within) | _cells(pair)) + "\n")


def _written(pair: StoredPair, folder: Path) -> dict[str, str]:
    """Writes the pictures; returns their columns."""
    everywhere = Image.new("L", pair.original.size, 255)
    pictures = pngs_of(pair.row, replace(pair, mask=pair.mask or everywhere))
    names = {name: f"images/{pair.row['pair_id']}.{name}.png" for name in pictures}
    for name, content in pictures.items():
        (folder / names[name]).write_bytes(content)
    return {f"{name}_file_name": path for name, path in names.items()}


def _cells(pair: StoredPair) -> dict[str, Any]:
    """The row without nulls and lists: `datasets` takes a column's type from a split's first rows."""
    metrics = pair.row["metrics"]
    cells = {name: cell for name, cell in index_row(pair.row).items() if name not in metrics}
    loose = {name: cell for name, cell in cells.items() if cell is None or isinstance(cell, list)}
    texts = {name: "" if cell is None else json.dumps(cell) for name, cell in loose.items()}
    return cells | texts | {"metrics": json.dumps(metrics), "has_mask": pair.mask is not None}
