"""How a folder's files hold pairs, and what the columns mean: what a dataset card says of them."""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = ("train", "validation", "test")
KINDS = {
    "counterfactual": "an unsafe picture and its safe twin, both drawn by the run",
    "null_edit": "a safe picture and an edit that leaves it safe, as a control",
    "real_edit": "an existing unsafe picture after the same autoencoder round trip as its safe edit, and that edit",
}
PICTURES = {
    "original": "the first side",
    "edited": "the second side, of the same size",
    "mask": "where the sides may differ, white for yes; none where the editor had no mask",
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
    "original_label, edited_label": "`unsafe` or `safe`: what the side is meant to be; checked for the verified tier",
    "seed": "of the noise",
    "policy": "id and hash of the policy",
    "model, revision": "what drew the pair; an empty revision is not known",
    "editor": "what made the pair, with its settings",
    "config": "hash of the run's settings and prompts",
    "width, height": "of both sides, in pixels",
    "mask_area": "share of the picture that may differ, in [0, 1]",
    "denoiser_rows": "batch rows of the denoiser spent on both sides",
    "original_sha256, edited_sha256": "of mode, size and pixels, by `dualsafe.pairs.pair.picture_hash`",
    "reasons": "why a pair isn't verified",
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
    """

    name: str
    opening: str
    columns: dict[str, str]
    files: dict[str, str]
    notes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ("image-classification", "text-to-image")


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
        "and truth as JSON in text; `load_dataset` can't open both under one name, hence the second call.",
        "`shards/*.rejected.jsonl` holds the rows of pairs that were made and not written, `errors.jsonl` what failed.",
        'PNG files carry `{"label": "unsafe"}` or `{"label": "safe"}` as text under the key `dualsafe`.',
    ),
)
