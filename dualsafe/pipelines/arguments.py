"""Checks of what a caller passes, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..config import resolve_level

OUTPUT_TYPES = ("pil", "np", "pt", "latent")


def prompt_count(prompt: Any, prompt_embeds: Tensor | None) -> int:
    """How many prompts a call has.

    Raises:
        ValueError: neither text nor a list of texts, or an empty list.
    """
    if prompt is not None and not isinstance(prompt, (str, list)):
        raise ValueError(f"prompt={prompt!r} must be a string or a list of strings")
    if isinstance(prompt, list):
        if not prompt:
            raise ValueError("prompt=[] is empty: give at least one prompt")
        for i, text in enumerate(prompt):
            if not isinstance(text, str):
                raise ValueError(f"prompt[{i}]={text!r} must be a string")
        return len(prompt)
    return 1 if prompt is not None or prompt_embeds is None else len(prompt_embeds)


def levels_per_prompt(safety_level: Any, count: int) -> list[float]:
    """The safety level of each prompt, each in [0, 1].

    Raises:
        ValueError: a level that `resolve_level` refuses, or a list of another length.
    """
    if isinstance(safety_level, (list, tuple)):
        _same_length("safety_level", safety_level, count)
        return [resolve_level(level) for level in safety_level]
    return [resolve_level(safety_level)] * count


def safe_prompts_per_prompt(safe_prompt: Any, count: int) -> list[str | None] | None:
    """The caller's safe text of each prompt; None leaves a prompt to the policy.

    Raises:
        ValueError: one text for several prompts, a list of another length, or something other than text.
    """
    if safe_prompt is None:
        return None
    if isinstance(safe_prompt, str):
        if count != 1:
            raise ValueError(f"safe_prompt is one string, but there are {count} prompts: give a list of {count}")
        return [safe_prompt]
    if not isinstance(safe_prompt, (list, tuple)):
        raise ValueError(f"safe_prompt={safe_prompt!r} must be a string or a list of strings")
    _same_length("safe_prompt", safe_prompt, count)
    for i, text in enumerate(safe_prompt):
        if text is not None and not isinstance(text, str):
            raise ValueError(f"safe_prompt[{i}]={text!r} must be a string or None")
    return list(safe_prompt)


def check_safe_embeds(safe_prompt_embeds: Tensor | None, safe_prompt: Any, count: int) -> None:
    """
    Raises:
        ValueError: together with `safe_prompt`, not a tensor (prompts, tokens, width), or not finite.
    """
    if safe_prompt_embeds is None:
        return
    if safe_prompt is not None:
        raise ValueError("safe_prompt and safe_prompt_embeds are both given: give one of the two")
    if not isinstance(safe_prompt_embeds, Tensor) or safe_prompt_embeds.ndim != 3:
        raise ValueError("safe_prompt_embeds must be a tensor of shape (prompts, tokens, width)")
    _same_length("safe_prompt_embeds", safe_prompt_embeds, count)
    check_finite("safe_prompt_embeds", safe_prompt_embeds)


def check_finite(name: str, value: Tensor | None) -> None:
    """
    Raises:
        ValueError: `value` has NaN or infinite entries.
    """
    if value is not None and not torch.isfinite(value).all():
        raise ValueError(f"{name} has NaN or infinite values")


def check_latents(latents: Tensor | None, shape: tuple[int, ...]) -> None:
    """
    Raises:
        ValueError: another shape than the call's, or not finite.
    """
    if latents is not None and tuple(latents.shape) != shape:
        raise ValueError(f"latents has shape {tuple(latents.shape)}, but this call needs {shape}")
    check_finite("latents", latents)


def check_generators(generator: Any, samples: int) -> None:
    """
    Raises:
        ValueError: a list of generators of another length than the pictures.
    """
    if isinstance(generator, list) and len(generator) != samples:
        raise ValueError(f"generator has {len(generator)} entries, but there are {samples} pictures: give one for each")


def check_positive(name: str, value: Any) -> None:
    """
    Raises:
        ValueError: `value` is not an integer of at least 1.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={value!r} must be an integer of at least 1")


def _same_length(name: str, values: Sequence | Tensor, count: int) -> None:
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} entries, but there are {count} prompts: give one for each")


def check_output_type(output_type: Any, composite: bool) -> None:
    """
    Raises:
        ValueError: an unknown type, or latents asked for where pixels are to be composited.
    """
    if output_type not in OUTPUT_TYPES:
        raise ValueError(f"output_type={output_type!r} is not one of {', '.join(OUTPUT_TYPES)}")
    if composite and output_type == "latent":
        raise ValueError("output_type='latent' has no pixels to composite: set composite=False")


def check_clip_skip(clip_skip: int | None, text_encoder: Any) -> None:
    """
    Raises:
        ValueError: the installed transformers gives diffusers' clip_skip nothing to work on.
    """
    if clip_skip is not None and not hasattr(text_encoder, "text_model"):
        raise ValueError(f"clip_skip={clip_skip!r} isn't supported by diffusers with this transformers: leave it None")
