"""The stock pipeline, with or without words of the policy's in its prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..pipelines.dual import DualLatentMixin
from ..policy import Policy, rewrite
from .protocol import Drawn, concept_text


def draw(pipe: DualLatentMixin, prompts: list[str], seeds: list[int], policy: Policy, **call: Any) -> Drawn:
    """One call of a dual pipeline, at level 0 unless `call` says otherwise: that is the stock pipeline, to the bit."""
    generator = [torch.Generator().manual_seed(seed) for seed in seeds]
    if "safety_level" not in call:
        policy, call = _without_force(policy), call | {"safety_level": 0.0}
    output: Any = pipe(prompt=prompts, policy=policy, generator=generator, **call)
    rows = [report.denoiser_rows for report in output.safety]
    return Drawn(output.images, rows, output.masks or [None] * len(prompts), output.safety)


def _without_force(policy: Policy) -> Policy:
    """The policy without levels of its own and blocks, which would make another method of the stock pipeline."""
    free = {"level": None, "block": False}
    categories = {name: category.model_copy(update=free) for name, category in policy.categories.items()}
    return policy.model_copy(update={"categories": categories})


@dataclass(frozen=True)
class Stock:
    """The stock pipeline: no safety, what every other method is measured against; or told words of the policy's.

    Attributes:
        negative: the policy's concepts are the negative prompt, e = e_n + s (e_p - e_n).
        rewritten: the prompt is as the policy rewrites it: most safety, least of the original picture.
    """

    name: str = "stock"
    negative: bool = False
    rewritten: bool = False

    def generate(
        self, pipe: DualLatentMixin, prompts: list[str], seeds: list[int], policy: Policy, **sampling: Any
    ) -> Drawn:
        if self.negative:
            sampling["negative_prompt"] = [concept_text(pipe, policy)] * len(prompts)
        if self.rewritten:
            prompts = [rewrite(policy, prompt).text for prompt in prompts]
        return draw(pipe, prompts, seeds, policy, **sampling)
