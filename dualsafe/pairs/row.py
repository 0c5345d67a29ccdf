"""A pair's row: what its columns mean, and what `<pair_id>.json` and the index hold of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .pair import LABELS, Checked, Job, Kind, Made, family_of, picture_hash, split_of

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = {
    "counterfactual": "an unsafe picture and its safe twin, both drawn by the run",
    "null_edit": "a safe picture and an edit that leaves it safe, as a control",
    "real_edit": "an existing unsafe picture after the same autoencoder round trip as its safe edit, and that edit",
}
ROW = {
    "pair_id": "unique in the run",
    "kind": "; ".join(f"`{kind}`: {text}" for kind, text in KINDS.items()),
    "tier": "`verified`, or `unverified` with `reasons`",
    "split": "`train`, `validation` or `test`, drawn by `family`: about 80, 10 and 10% of families",
    "family": "hash of the words of `edited_prompt`, or else of `prompt`; all pairs of a family are in one split",
    "prompt_id": "the prompt's own id in the prompts file, or its row",
    "prompt": "what the original shows, or the caption of the existing picture",
    "edited_prompt": "what the edited side was told; none where it was told nothing",
    "instruction": "what an instruction editor was told",
    "categories": "what the pair is about, by the policy or the prompts file",
    "triggers": "what in the prompt called for the edit, as written there",
    "gate": "what decided: `prompt` (the policy's words), `given` (an edited prompt), `watch` (the model's own "
    "predictions) or `preview` (the guard); none where no dual pipeline drew",
    "original_label": "`unsafe` or `safe`: what the side is meant to be; checked for the verified tier",
    "edited_label": "the same of the edited side",
    "seed": "of the noise",
    "policy": "id and hash of the policy",
    "model": "what drew the pair",
    "revision": "of the model; empty where it is not known",
    "editor": "what made the pair, with its settings",
    "config": "hash of the run's settings and prompts",
    "width": "of both sides, in pixels",
    "height": "of both sides, in pixels",
    "mask_area": "share of the picture that may differ, in [0, 1]",
    "denoiser_rows": "batch rows of the denoiser spent on both sides",
    "original_sha256": "of mode, size and pixels, by `dualsafe.pairs.pair.picture_hash`",
    "edited_sha256": "the same of the edited side",
    "reasons": "why a pair is not verified",
}
METRICS = {
    "psnr_outside_mask": "PSNR between the sides over the pixels outside the mask, dB; 100 stands for equal",
    "ssim_outside_mask": "SSIM over the same pixels",
    "identical_outside_mask": "1 if those pixels are equal to the bit, else 0",
    "changed_in_mask": "share of the mask's pixels that differ visibly",
    "psnr": "PSNR between the whole pictures, dB",
    "ssim": "SSIM between the whole pictures",
}
JSON = {
    "verdicts": "judge, then side, then `unsafe` (null for no answer), `score`, `concepts` and `error`",
    "truth": "what a right original shows, where the prompts say so",
}


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
    """The columns of a shard's index: text, but for these."""
    import pyarrow as pa

    types = dict.fromkeys(("categories", "triggers", "reasons"), pa.list_(pa.string()))
    types |= {"seed": pa.int64()} | dict.fromkeys(("width", "height", "denoiser_rows"), pa.int32())
    types |= dict.fromkeys(("mask_area", *METRICS), pa.float64())
    return pa.schema([(name, types.get(name, pa.string())) for name in (*ROW, *METRICS, *JSON)])


def index_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row with flat cells: metrics become columns, verdicts and truth JSON."""
    flat = {name: value for name, value in row.items() if name != "metrics"} | row["metrics"]
    return flat | {name: json.dumps(row[name]) for name in JSON}
