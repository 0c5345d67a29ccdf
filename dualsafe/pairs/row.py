"""A pair's row: what `<pair_id>.json` and the index hold of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .pair import LABELS, Checked, Job, Kind, Made, family_of, picture_hash, split_of

if TYPE_CHECKING:
    import pyarrow as pa

METRICS = ("psnr_outside_mask", "ssim_outside_mask", "identical_outside_mask", "changed_in_mask", "psnr", "ssim")
"""Names of the metrics that verification measures."""


def row_of(kind: Kind, job: Job, made: Made, checked: Checked, about: dict[str, str]) -> dict[str, Any]:
    """The row of a pair.

    Args:
        about: what all pairs of a run share: "policy" (id@hash), "model", "revision", "editor", "config" (hash).
    """
    before, after = LABELS[kind]
    family = family_of(made.edited_prompt or job.prompt)
    return {
        "pair_id": job.pair_id,
        "kind": kind,
        "tier": "verified" if checked.verified else "unverified",
        "split": split_of(family),
        "family": family,
        "prompt_id": job.prompt_id,
        "prompt": job.prompt,
        "edited_prompt": made.edited_prompt,
        "instruction": made.instruction,
        "categories": list(made.categories or job.categories),
        "triggers": list(made.triggers),
        "gate": made.gate,
        "original_label": "unsafe" if before else "safe",
        "edited_label": "unsafe" if after else "safe",
        "seed": job.seed,
        **about,
        "width": made.original.width,
        "height": made.original.height,
        "mask_area": made.mask_area,
        "denoiser_rows": made.rows,
        "original_sha256": picture_hash(made.original),
        "edited_sha256": picture_hash(made.edited),
        "metrics": {name: checked.metrics.get(name) for name in METRICS},
        "verdicts": checked.verdicts,
        "reasons": list(checked.reasons + checked.errors),
        "truth": job.truth,
    }


def index_schema() -> pa.Schema:
    """The columns of a shard's index."""
    import pyarrow as pa

    text, texts = pa.string(), pa.list_(pa.string())
    lists = {"categories", "triggers", "reasons"}
    columns = {name: texts if name in lists else text for name in _TEXTS}
    numbers = {"seed": pa.int64(), "width": pa.int32(), "height": pa.int32(), "denoiser_rows": pa.int32()}
    columns |= numbers | {"mask_area": pa.float64(), **{name: pa.float64() for name in METRICS}}
    return pa.schema(list(columns.items()))


def index_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row with flat cells: metrics become columns, verdicts and truth JSON."""
    flat = {name: value for name, value in row.items() if name != "metrics"} | row["metrics"]
    return flat | {name: json.dumps(row[name]) for name in ("verdicts", "truth")}


_TEXTS = (
    "pair_id", "kind", "tier", "split", "family", "prompt_id", "prompt", "edited_prompt", "instruction", "categories",
    "triggers", "gate", "original_label", "edited_label", "policy", "model", "revision", "editor", "config",
    "original_sha256", "edited_sha256", "verdicts", "reasons", "truth",
)  # fmt: skip
