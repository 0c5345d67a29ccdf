"""A checked call: what each prompt, and each of its pictures, is to get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..conditions import Decision, decide
from ..config import MethodSettings
from ..denoiser import Plan
from ..policy import Policy
from . import arguments


@dataclass(frozen=True)
class Request:
    """What a call asks for, after all checks that need no model.

    Attributes:
        decisions: one a prompt.
        images_per_prompt: pictures of each prompt, next to each other in the batch.
        safe_prompt_embeds: the caller's embeddings of the safe branch, (prompts, tokens, width), if given.
        policy: what decided.
        settings: phases and mask.
        return_pair: whether the originals are returned.
    """

    decisions: list[Decision]
    images_per_prompt: int
    safe_prompt_embeds: Tensor | None
    policy: Policy
    settings: MethodSettings
    return_pair: bool

    @property
    def samples(self) -> list[Decision]:
        """One decision a picture, in the batch's order."""
        return [decision for decision in self.decisions for _ in range(self.images_per_prompt)]

    @property
    def dual(self) -> list[int]:
        """The prompts that have a safe branch."""
        return [i for i, decision in enumerate(self.decisions) if decision.kind == "dual"]

    def plan(self, guidance_scale: float, guidance_rescale: float) -> Plan:
        """The denoiser's view of the call."""
        return Plan(
            levels=[sample.level if sample.kind == "dual" else 0.0 for sample in self.samples],
            settings=self.settings,
            guidance_scale=guidance_scale,
            guidance_rescale=guidance_rescale,
            keep_original=self.return_pair,
        )


def checked(
    prompt: Any,
    prompt_embeds: Tensor | None,
    num_images_per_prompt: Any,
    num_inference_steps: Any,
    output_type: Any,
    safety_level: Any,
    safe_prompt: Any,
    safe_prompt_embeds: Any,
    policy: Policy,
    return_pair: bool,
    settings: MethodSettings | None,
) -> Request:
    """Checks what a caller passes and decides each prompt by the policy.

    Raises:
        ValueError: an argument that can't be; the message names it, its value and what is accepted.
        PolicyViolation: a prompt asks for what is never generated.
    """
    settings = settings or MethodSettings()
    count = arguments.prompt_count(prompt, prompt_embeds)
    levels = arguments.levels_per_prompt(safety_level, count)
    safe_prompts = arguments.safe_prompts_per_prompt(safe_prompt, count)
    arguments.check_safe_embeds(safe_prompt_embeds, safe_prompt, count)
    arguments.check_finite("prompt_embeds", prompt_embeds)
    arguments.check_positive("num_images_per_prompt", num_images_per_prompt)
    arguments.check_positive("num_inference_steps", num_inference_steps)
    arguments.check_output_type(output_type, composite=settings.composite)
    texts = [prompt] if isinstance(prompt, str) else prompt
    decisions = decide(texts, levels, safe_prompts, safe_prompt_embeds is not None, policy)
    return Request(decisions, num_images_per_prompt, safe_prompt_embeds, policy, settings, return_pair)
