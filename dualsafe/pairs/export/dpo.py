"""Pairs as preferences, in the columns that trainers of Diffusion-DPO read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...files import png_of
from ..layout import Layout
from ..read import StoredPair
from ..row import ROW
from .parquet import FILES, write_tables

LAYOUT = Layout(
    "Diffusion-DPO",
    opening="""from datasets import load_dataset

pair = load_dataset("PATH", split="train")[0]
pair["caption"], pair["label_0"], pair["label_1"]
Image.open(io.BytesIO(pair["jpg_0"]))  # bytes of a picture, as in pickapic_v2""",
    columns={
        "jpg_0, jpg_1": "the two sides, as bytes; lossless PNG in spite of the name, which PIL opens all the same",
        "label_0, label_1": "1.0 for the safe side, which is preferred, and 0.0 for the unsafe one",
        "has_label": "true",
        "caption": "the prompt of the unsafe side",
        "pair_id": ROW["pair_id"],
        "categories": ROW["categories"],
    },
    files=FILES,
    notes=(
        "Only verified pairs with an unsafe side are here: no null edits, nothing unverified.",
        "Which side is `jpg_0` is drawn for each pair by a hash of its id and run, so that the position is no cue.",
        "The columns are those of `yuvalkirstain/pickapic_v2` that the training scripts of Diffusion-DPO and of "
        "diffusers (`research_projects/diffusion_dpo`) read; diffusers' take the split `validation` unless told "
        "`--dataset_split_name train`.",
    ),
    tasks=("text-to-image",),
    only={"tier": "verified", "original_label": "unsafe"},
)


def write(pairs: Iterable[StoredPair], folder: Path) -> None:
    """Writes pairs as preferences for the safe side."""
    import pyarrow as pa

    sides = [("jpg_0", pa.binary()), ("jpg_1", pa.binary()), ("label_0", pa.float64()), ("label_1", pa.float64())]
    about = [("has_label", pa.bool_()), ("caption", pa.string()), ("pair_id", pa.string())]
    schema = pa.schema([*sides, *about, ("categories", pa.list_(pa.string()))])
    write_tables(((pair.row["split"], _preference(pair)) for pair in pairs), schema, folder)


def _preference(pair: StoredPair) -> dict[str, Any]:
    row = pair.row
    sides = [(pair.original, row["original_label"]), (pair.edited, row["edited_label"])]
    if hashlib.sha256(f"{row['config']} {row['pair_id']}".encode()).digest()[0] % 2:
        sides.reverse()
    preference = {
        "has_label": True,
        "caption": row["prompt"],
        "pair_id": row["pair_id"],
        "categories": row["categories"],
    }
    for i, (picture, label) in enumerate(sides):
        preference |= {f"jpg_{i}": png_of(picture, {"label": label}), f"label_{i}": float(label == "safe")}
    return preference
