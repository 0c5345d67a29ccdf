"""Embeddings of texts of different lengths: padded beside a mask here, and as a family's calls have them there.

The stock pipeline encodes a batch as long as its longest text. Here a batch is the prompts' and the safe texts', so
that all are as long as can be; for a call of the model, and only there, a branch's rows are cut to their own longest,
as the stock call has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from ..stand_in import StandIn

EMBEDS, MASK = "prompt_embeds", "prompt_attention_mask"
_READ = "encoder_attention_mask"
"""The mask as an argument of the denoiser."""


class Texts:
    """Texts of one length: everything is as it is."""

    def inward(self, embeds: dict[str, Any], length: int | None) -> dict[str, Any]:
        """Arguments of the stock call, or what its `encode_prompt` gave, as tensors (texts, tokens, ...) and a mask.

        Args:
            length: tokens to pad to, for a family that pads.
        """
        return embeds

    def outward(self, embeds: dict[str, Any]) -> dict[str, Any]:
        """What `inward` undoes."""
        return embeds

    def model(self, model: Any) -> Any:
        """The denoiser, called with tensors and a mask."""
        return model

    def loop(self, model: Any, rows: int, length: int) -> Any:
        """What such a model looks like to the stock loop, whose batch has `rows` prompts of `length` tokens."""
        return model


class Padded(Texts):
    """A batch as long as its longest text, and a mask if there is any padding (Qwen-Image)."""

    def inward(self, embeds: dict[str, Any], length: int | None) -> dict[str, Any]:
        found = dict(embeds)
        for prefix in ("", "negative_"):
            told, read = found.get(prefix + EMBEDS), found.pop(f"{prefix}prompt_embeds_mask", found.get(prefix + MASK))
            if isinstance(told, Tensor):
                read = torch.ones(told.shape[:2], dtype=torch.long, device=told.device) if read is None else read
                found |= {prefix + EMBEDS: lengthened(told, length), prefix + MASK: lengthened(read, length)}
        return found

    def outward(self, embeds: dict[str, Any]) -> dict[str, Any]:
        renamed = {f"{p}{MASK}": f"{p}prompt_embeds_mask" for p in ("", "negative_")}
        return {renamed.get(name, name): value for name, value in embeds.items()}

    def model(self, model: Any) -> Any:
        def predict(*, encoder_hidden_states: Tensor, encoder_attention_mask: Tensor, **kwargs: Any) -> Any:
            read = encoder_attention_mask[:, : _longest(encoder_attention_mask)]
            told = encoder_hidden_states[:, : read.shape[1]]
            mask = None if bool(read.all()) else read
            return model(encoder_hidden_states=told, encoder_hidden_states_mask=mask, **kwargs)

        return StandIn(model, predict)

    def loop(self, model: Any, rows: int, length: int) -> Any:
        def predict(*, encoder_hidden_states: Tensor, encoder_hidden_states_mask: Tensor | None, **kwargs: Any) -> Any:
            read = encoder_hidden_states_mask
            if read is None:
                read = torch.ones_like(encoder_hidden_states[..., 0], dtype=torch.long)
            return model(encoder_hidden_states=encoder_hidden_states, **{_READ: read}, **kwargs)

        return StandIn(model, predict)


class Listed(Texts):
    """Lists, of latents (C, 1, h, w) and of texts (tokens, width), those with the prompts first (Z-Image)."""

    def inward(self, embeds: dict[str, Any], length: int | None) -> dict[str, Any]:
        found = dict(embeds)
        for prefix in ("", "negative_"):
            told, read = found.get(prefix + EMBEDS), found.get(prefix + MASK)
            if isinstance(told, list) and not told:  # no negative
                found[prefix + EMBEDS] = told = None
            if told is not None and all(isinstance(text, Tensor) for text in told):
                told, read = (told, read) if isinstance(told, Tensor) and read is not None else _stacked(list(told))
                found |= {prefix + EMBEDS: lengthened(told, length), prefix + MASK: lengthened(read, length)}
        return found

    def outward(self, embeds: dict[str, Any]) -> dict[str, Any]:
        found = dict(embeds)
        for prefix in ("", "negative_"):
            told, read = found.get(prefix + EMBEDS), found.pop(prefix + MASK, None)
            if isinstance(told, Tensor):
                found[prefix + EMBEDS] = list(told) if read is None else _listed(told, read)
        return found

    def model(self, model: Any) -> Any:
        def predict(hidden_states: Tensor, timestep: Tensor, group: Tensor, **kwargs: Any) -> tuple[Tensor]:
            told, read = kwargs.pop("encoder_hidden_states"), kwargs.pop(_READ)
            order = group.argsort(descending=True, stable=True)
            latents, texts = list(hidden_states[order].unsqueeze(2)), _listed(told[order], read[order])
            found = torch.stack(model(latents, timestep[order], texts, **kwargs)[0])
            return (found.squeeze(2)[order.argsort()],)

        return StandIn(model, predict)

    def loop(self, model: Any, rows: int, length: int) -> Any:
        def predict(latents: list[Tensor], timestep: Tensor, texts: list[Tensor], **kwargs: Any) -> tuple[list[Tensor]]:
            groups = len(latents) // rows
            turned = [row for group in range(groups)[::-1] for row in range(group * rows, (group + 1) * rows)]
            told, read = (lengthened(value, length) for value in _stacked([texts[row] for row in turned]))
            hidden_states = torch.stack([latents[row] for row in turned]).squeeze(2)
            group = torch.arange(groups, device=told.device).repeat_interleave(rows)
            conditions = {"encoder_hidden_states": told, _READ: read, "group": group}
            found = model(hidden_states=hidden_states, timestep=timestep, **conditions, **kwargs)[0]
            each = list(found.unsqueeze(2))
            return ([each[row] for row in turned],)

        return StandIn(model, predict)


def lengthened(value: Tensor, length: int | None) -> Tensor:
    """(texts, tokens, ...) with zeros behind, `length` tokens long; what is longer stays as long."""
    missing = (length or 0) - value.shape[1]
    return value if missing <= 0 else F.pad(value, (*(0, 0) * (value.ndim - 2), 0, missing))


def _longest(read: Tensor) -> int:
    """Tokens up to the last that is read in any row of a mask (texts, tokens)."""
    some = read.bool().any(0).nonzero()
    return int(some[-1]) + 1 if len(some) else 1


def _stacked(texts: list[Tensor]) -> tuple[Tensor, Tensor]:
    read = [torch.ones(len(text), dtype=torch.long, device=text.device) for text in texts]
    return pad_sequence(texts, batch_first=True), pad_sequence(read, batch_first=True)


def _listed(told: Tensor, read: Tensor) -> list[Tensor]:
    return [text[:length] for text, length in zip(told, read.sum(1).tolist())]


KINDS: dict[str, Callable[[], Texts]] = {"even": Texts, "padded": Padded, "listed": Listed}
