"""The model card, written from what was measured."""

from __future__ import annotations

from pathlib import Path

_TEXT = """---
license: apache-2.0
library_name: diffusers
tags: [stable-diffusion, text-to-image, test-model]
---
# picto

A complete Stable Diffusion stack at a small scale: CLIP text and vision, `AutoencoderKL` (64x64 to 16x16x4), a
cross-attention `UNet2DConditionModel` (epsilon prediction), DDIM, a BPE `CLIPTokenizer` of 77 tokens, and three
attribute judges. Trained by `python -m dualsafe.picto.train` on procedurally drawn, harmless pictograms. It is a
measuring instrument for safety methods; numbers measured on it say nothing about a real checkpoint.

`StableDiffusionPipeline.from_pretrained` opens this folder. Stored in fp16.

## Measured

{table}

`steps` and `minutes` are of the last run; every stage went on from earlier weights, of a plainer world; `decoder` is
the autoencoder after its decoder alone was trained on. Held-out renders for the autoencoder, CLIP and the judges.
`stack`: share of 500 held-out prompts (200 explicit, 200 neighbour, 100 benign) whose picture shows the attribute, by
the judge; 25 steps, guidance 5; `python -m dualsafe.picto.train card`. `transformer` and `transformer_stack` are of a
second stack, `picto-sd3` beside this folder: an `SD3Transformer2DModel` trained by flow matching on the same latents
and texts.
"""


def write_card(out: Path, metrics: dict[str, dict]) -> None:
    """Writes README.md beside the weights from `metrics`, as they stand in metrics.json."""
    rows = ["| stage | measured |", "|---|---|"]
    rows += [f"| {stage} | {', '.join(f'{k} {v}' for k, v in values.items())} |" for stage, values in metrics.items()]
    (out / "README.md").write_text(_TEXT.format(table="\n".join(rows)))
