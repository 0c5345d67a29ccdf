"""Checks of what a caller passes, before anything is computed."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config import resolve_level

OUTPUT_TYPES = ("pil", "np", "pt", "latent")
PROMPTS = ("prompt", "prompt_2", "prompt_3")
"""Arguments that carry a prompt, one for each text encoder of the family."""
TEXT_ARGUMENTS = (*PROMPTS, *(f"negative_{name}" for name in PROMPTS))
_OLD = ("callback", "callback_steps")
"""Arguments that a stock call with `**kwargs` still takes."""


def stock_arguments(call: Callable, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a stock call by name, defaults filled in.

    Raises:
        TypeError: an argument that the stock call does not have; some would silently drop it.
    """
    signature = inspect.signature(call)
    names = [n for n, p in signature.parameters.items() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    if len(names) < len(signature.parameters):
        names += [name for name in _OLD if name in kwargs]
    for name in kwargs:
        if name not in names:
            near = get_close_matches(name, [*names, "safety_level", "safe_prompt", "return_pair", "policy"], 1)
            raise TypeError(f"unexpected argument {name!r}" + (f": did you mean {near[0]!r}?" if near else ""))
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    given = {**bound.arguments, **bound.arguments.get("kwargs", {})}
    return {name: given[name] for name in names}


def check_refused(given: dict[str, Any], refused: dict[str, str], call: Callable) -> None:
    """
    Raises:
        ValueError: an argument that the method cannot honour is set.
    """
    parameters = inspect.signature(call).parameters
    for name, reason in refused.items():
        if name in given and given[name] != parameters[name].default:
            raise ValueError(f"{name}={given[name]!r}: {reason}")


def prompt_count(given: dict[str, Any]) -> int:
    """How many prompts a call has.

    Raises:
        ValueError: neither text nor a list of texts, or an empty list; or embeddings that are not finite.
    """
    prompt, prompt_embeds = given["prompt"], given["prompt_embeds"]
    check_finite("prompt_embeds", prompt_embeds)
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
        check_text("safe_prompt", safe_prompt)
        if count != 1:
            raise ValueError(f"safe_prompt is one string, but there are {count} prompts: give a list of {count}")
        return [safe_prompt]
    if not isinstance(safe_prompt, (list, tuple)):
        raise ValueError(f"safe_prompt={safe_prompt!r} must be a string or a list of strings")
    _same_length("safe_prompt", safe_prompt, count)
    for i, text in enumerate(safe_prompt):
        if text is not None:
            check_text(f"safe_prompt[{i}]", text, "a string or None")
    return list(safe_prompt)


def safe_embeds(embeds: Any, pooled: Any, read: Any, safe_prompt: Any, count: int) -> dict[str, Tensor]:
    """The caller's embeddings of the safe branch by the stock call's argument name; empty where none are given.

    Args:
        read: the attention mask of the embeddings.

    Raises:
        ValueError: together with `safe_prompt`, pooled ones or a mask alone, of another form, or not finite.
    """
    if embeds is None:
        for name, value in (("safe_pooled_prompt_embeds", pooled), ("safe_prompt_attention_mask", read)):
            if value is not None:
                raise ValueError(f"{name} needs safe_prompt_embeds beside it")
        return {}
    if safe_prompt is not None:
        raise ValueError("safe_prompt and safe_prompt_embeds are both given: give one of the two")
    found = {"prompt_embeds": (embeds, 3, "(prompts, tokens, width)")}
    if pooled is not None:
        found["pooled_prompt_embeds"] = (pooled, 2, "(prompts, width)")
    if read is not None:
        found["prompt_attention_mask"] = (read, 2, "(prompts, tokens)")
    for name, (value, dimensions, form) in found.items():
        if not isinstance(value, Tensor) or value.ndim != dimensions:
            raise ValueError(f"safe_{name} must be a tensor of shape {form}")
        _same_length(f"safe_{name}", value, count)
        check_finite(f"safe_{name}", value)
    return {name: value for name, (value, _, _) in found.items()}


def check_finite(name: str, value: Tensor | None) -> None:
    """
    Raises:
        ValueError: `value` has NaN or infinite entries.
    """
    if value is not None and not torch.isfinite(value).all():
        raise ValueError(f"{name} has NaN or infinite values")


def check_text(name: str, text: Any, wanted: str = "a string") -> None:
    """
    Raises:
        ValueError: not a string, or one that no encoder reads.
    """
    if not isinstance(text, str):
        raise ValueError(f"{name}={text!r} must be {wanted}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise ValueError(
            f"{name} has {half!r} at character {error.start}, half of a surrogate pair, which is no text: take it out"
        ) from None


def prompts_by_encoder(given: dict[str, Any], count: int) -> dict[str, list[str]]:
    """The texts of a call, one a prompt: argument name -> texts, for those given.

    Raises:
        ValueError: a second or third prompt of another length than the first, or not text; a negative that is not.
    """
    texts = {}
    for name in TEXT_ARGUMENTS:
        value = given.get(name)
        if value is not None:
            each = [value] if isinstance(value, str) else list(value)
            for i, text in enumerate(each):
                check_text(name if isinstance(value, str) else f"{name}[{i}]", text)
            if name in PROMPTS:
                _same_length(name, each, count)
                texts[name] = each
    return texts


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
        ValueError: neither a generator nor a list of them, or a list of another length than the pictures.
    """
    each = generator if isinstance(generator, list) else [] if generator is None else [generator]
    if not all(isinstance(one, torch.Generator) for one in each):
        raise ValueError(
            f"generator={generator!r} must be a torch.Generator, a list with one for each picture, or None"
        )
    if isinstance(generator, list) and len(generator) != samples:
        raise ValueError(f"generator has {len(generator)} entries, but there are {samples} pictures: give one for each")


def whole(name: str, value: Any, least: int = 1) -> int:
    """`value`, a numpy integer too, as an int.

    Raises:
        ValueError: not an integer of at least `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise ValueError(f"{name}={value!r} must be an integer of at least {least}")
    return number


def policy_texts(policy_text: Any, encode_text: Any, given: dict[str, Any], count: int) -> dict[str, list[str]]:
    """The texts behind `prompt_embeds`, which the policy reads; empty where none are given.

    Raises:
        ValueError: without embeddings, of another length or not text; or an encoder that cannot be called.
    """
    if encode_text is not None and not callable(encode_text):
        raise ValueError(f"encode_text={encode_text!r} must be a function from a list of texts to their embeddings")
    if policy_text is None:
        return {}
    if given.get("prompt_embeds") is None:
        raise ValueError("policy_text is the text behind prompt_embeds, which are not given: the policy reads prompt")
    each = [policy_text] if isinstance(policy_text, str) else policy_text
    if not isinstance(each, (list, tuple)):
        raise ValueError(f"policy_text={policy_text!r} must be a string or a list of strings")
    _same_length("policy_text", each, count)
    for i, text in enumerate(each):
        check_text("policy_text" if isinstance(policy_text, str) else f"policy_text[{i}]", text)
    return {"prompt": list(each)}


def check_rewriter(rewriter: Any, timeout: Any) -> None:
    """
    Raises:
        ValueError: not a function, or a timeout that is no positive number of seconds.
    """
    if rewriter is not None and not callable(rewriter):
        raise ValueError(f"rewriter={rewriter!r} must be a function from a prompt to a safe prompt")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
        raise ValueError(f"rewriter_timeout={timeout!r} must be a positive number of seconds")


def masks_per_prompt(mask: Any, count: int) -> Tensor | None:
    """The caller's mask as (prompts, 1, H, W) in [0, 1], 1 where a picture may change; None for "auto" and None.

    Args:
        mask: a tensor (H, W), (prompts, H, W) or (prompts, 1, H, W), a PIL picture, or a list of those, one a prompt.

    Raises:
        ValueError: something else, another count, or values outside [0, 1].
    """
    if mask is None or (isinstance(mask, str) and mask == "auto"):
        return None
    if isinstance(mask, list):
        _same_length("mask", mask, count)
        each = [found for one in mask if (found := masks_per_prompt(one, 1)) is not None]
        if len(each) < count or len({found.shape for found in each}) > 1:
            raise ValueError("mask is a list whose entries are not all masks of one size")
        return torch.cat(each)
    if isinstance(mask, Image.Image):
        mask = torch.from_numpy(np.array(mask.convert("L"))).float() / 255
    if not isinstance(mask, Tensor) or not 2 <= mask.ndim <= 4 or (mask.ndim == 4 and mask.shape[1] != 1):
        raise ValueError(
            f"mask={mask if isinstance(mask, str) else type(mask).__name__!r} must be 'auto', None, a tensor (H, W), "
            "(prompts, H, W) or (prompts, 1, H, W), or a PIL picture"
        )
    mask = mask.float()
    if not bool(((mask >= 0) & (mask <= 1)).all()):
        raise ValueError("mask has values outside [0, 1]")
    if mask.ndim == 2:
        mask = mask.expand(count, *mask.shape)
    _same_length("mask", mask, count)
    return mask if mask.ndim == 4 else mask[:, None]


def _same_length(name: str, values: Sequence | Tensor, count: int) -> None:
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} entries, but there are {count} prompts: give one for each")


def check_output_type(output_type: Any) -> None:
    """
    Raises:
        ValueError: an unknown type.
    """
    if output_type not in OUTPUT_TYPES:
        raise ValueError(f"output_type={output_type!r} is not one of {', '.join(OUTPUT_TYPES)}")


def check_clip_skip(clip_skip: int | None, text_encoder: Any) -> None:
    """
    Raises:
        ValueError: the installed transformers gives diffusers' clip_skip nothing to work on.
    """
    if clip_skip is not None and not hasattr(text_encoder, "text_model"):
        raise ValueError(f"clip_skip={clip_skip!r} is not supported by diffusers with this transformers: leave it None")
