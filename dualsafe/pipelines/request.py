"""A checked call: what each prompt, and each of its pictures, is to get."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..conditions import Decision, decide
from ..config import MethodSettings
from ..judges import Judge, as_judge
from ..policy import Policy
from . import arguments


@dataclass(frozen=True)
class Request:
    """What a call asks for, after all checks that need no model.

    Attributes:
        decisions: one a prompt.
        images_per_prompt: pictures of each prompt, next to each other in the batch.
        safe_embeds: the caller's embeddings of the safe branch, (prompts, ...), by the stock call's argument name.
        policy: what decided.
        settings: phases and mask.
        return_pair: whether the originals are returned.
        texts: argument name -> the prompts' texts; empty where the caller gave embeddings.
        preview, verify: judges of half-made and of finished pictures.
        mask: the caller's, (prompts, 1, H, W), if any.
        sources: where the safe branch's condition comes from.
        max_tries: how often a finished picture that is flagged is drawn again.
    """

    decisions: list[Decision]
    images_per_prompt: int
    safe_embeds: dict[str, Tensor]
    policy: Policy
    settings: MethodSettings
    return_pair: bool
    texts: dict[str, list[str]]
    preview: Judge | None = None
    verify: Judge | None = None
    max_tries: int = 3
    mask: Tensor | None = None
    sources: tuple[str, ...] = ("rewrite",)

    @property
    def samples(self) -> list[Decision]:
        """One decision a picture, in the batch's order."""
        return [decision for decision in self.decisions for _ in range(self.images_per_prompt)]

    def matching_embeds(self, like: dict[str, Tensor]) -> dict[str, Tensor]:
        """`safe_embeds`, once they fit the prompt's own embeddings.

        Raises:
            ValueError: another shape, or one of the two kinds missing or unknown to the family.
        """
        for name in self.safe_embeds.keys() | ({"pooled_prompt_embeds"} & like.keys() if self.safe_embeds else set()):
            if name not in like:
                raise ValueError(f"safe_{name} is given, but this pipeline has no {name}")
            if name not in self.safe_embeds:
                raise ValueError(f"safe_{name} is needed beside safe_prompt_embeds by this pipeline")
            found, needed = tuple(self.safe_embeds[name].shape[1:]), tuple(like[name].shape[1:])
            if found != needed:
                raise ValueError(f"safe_{name} has {found} tokens and width, the prompt {needed}")
        return self.safe_embeds


def checked(
    given: dict[str, Any],
    policy: Policy,
    settings: MethodSettings,
    *,
    safety_level: Any,
    safe_prompt: Any,
    safe_prompt_embeds: Any,
    safe_pooled_prompt_embeds: Any,
    return_pair: bool,
    sources: Any,
    rewriter: Any,
    rewriter_timeout: Any,
    preview: Any,
    verify: Any,
    max_tries: Any,
    mask: Any,
) -> Request:
    """Checks what a caller passes and decides each prompt by the policy.

    Args:
        given: all arguments of the stock call.

    Raises:
        ValueError: an argument that can't be; the message names it, its value and what is accepted.
        PolicyViolation: a prompt asks for what is never generated.
    """
    if mask is None:
        if settings.composite:
            raise ValueError("mask=None leaves settings.composite=True nothing to composite by: give a mask or 'auto'")
        settings = replace(settings, mask_floor=None)
    count = arguments.prompt_count(given["prompt"], given["prompt_embeds"])
    levels = arguments.levels_per_prompt(safety_level, count)
    safe_prompts = arguments.safe_prompts_per_prompt(safe_prompt, count)
    safe_embeds = arguments.safe_embeds(safe_prompt_embeds, safe_pooled_prompt_embeds, safe_prompt, count)
    arguments.check_finite("prompt_embeds", given["prompt_embeds"])
    arguments.check_positive("num_images_per_prompt", given["num_images_per_prompt"])
    arguments.check_positive("num_inference_steps", given["num_inference_steps"])
    arguments.check_output_type(given["output_type"], composite=settings.composite)
    texts = arguments.prompts_by_encoder(given, count)
    sources = arguments.known_sources(sources)
    if "negative" in sources and (given.get("negative_prompt_embeds") is not None or safe_embeds):
        raise ValueError("sources has 'negative', which goes with texts: give negative_prompt and safe_prompt as text")
    arguments.check_rewriter(rewriter, rewriter_timeout)
    decisions = decide(
        texts, levels, safe_prompts, bool(safe_embeds), policy, "rewrite" in sources, rewriter, rewriter_timeout
    )
    if not isinstance(max_tries, int) or isinstance(max_tries, bool) or max_tries < 0:
        raise ValueError(f"max_tries={max_tries!r} must be an integer of at least 0")
    return Request(
        decisions,
        given["num_images_per_prompt"],
        safe_embeds,
        policy,
        settings,
        return_pair,
        texts,
        preview=as_judge("preview", preview) if preview is not None else None,
        verify=as_judge("verify", verify) if verify is not None else None,
        max_tries=max_tries,
        sources=sources,
        mask=arguments.masks_per_prompt(mask, count),
    )
