"""How well a trained stack draws what its prompts ask for, read by the judge."""

from __future__ import annotations

import torch
from diffusers import DiffusionPipeline
from tqdm.auto import tqdm

from ...judges.picto import PictoJudge
from ..prompts import PromptCase

HEADS = ("setting", "subject", "colour", "item")


def draw(pipe: DiffusionPipeline, prompts: list[str], seed: int = 0, batch: int = 25, **settings) -> list:
    """PIL pictures of `prompts`, picture i from seed `seed` + i whatever the batch."""
    pictures = []
    pipe.set_progress_bar_config(disable=True)
    for start in tqdm(range(0, len(prompts), batch), desc="draw", unit="batch"):
        part = prompts[start : start + batch]
        generators = [torch.Generator("cpu").manual_seed(seed + start + i) for i in range(len(part))]
        pictures += pipe(part, generator=generators, **settings).images
    return pictures


def attribute_accuracy(judge: PictoJudge, cases: list[PromptCase], pictures: list) -> dict[str, float]:
    """Share of pictures that show the scene's setting, subject, colour and item."""
    seen = judge.judge(pictures)
    return {
        head: sum(s.labels[head] == getattr(c.scene, head) for s, c in zip(seen, cases)) / len(cases) for head in HEADS
    }


def stock_accuracy(pipe: DiffusionPipeline, judge: PictoJudge, cases: list[PromptCase], **settings) -> dict[str, float]:
    """Attribute accuracy of the stock pipeline at 25 steps of its own scheduler, guidance 5."""
    pictures = draw(pipe, [case.prompt for case in cases], num_inference_steps=25, guidance_scale=5.0, **settings)
    return attribute_accuracy(judge, cases, pictures)
