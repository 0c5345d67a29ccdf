"""The safe branch of a joint-attention transformer, computed only where it may differ from the original.

Outside the mask both branches' latents are one, so that the safe branch computes the picture's tokens inside it, and
its text's, and attends to the original's keys and values for the rest: those of the original's last call (compare
region-adaptive sampling, arXiv 2502.10389, which takes the rest from the step before).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .partial import Partial


class Kept(NamedTuple):
    """Keys and values (batch, heads, tokens, width) of one attention, the picture's tokens first."""

    key: Tensor
    value: Tensor


class _Attention(TorchFunctionMode):
    """Sees every scaled dot product on the way, without a change to the module, which others may share."""

    def __init__(self, seen: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]):
        super().__init__()
        self._seen = seen

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        if func is F.scaled_dot_product_attention:
            query, key, value, *rest = args
            args = (query, *self._seen(query, key, value), *rest)
        return func(*args, **(kwargs or {}))


class Tokens(Partial):
    """Keeps what the original's calls attended to, and runs safe branches on the tokens of their masks."""

    told = frozenset({"hidden_states", "timestep", "encoder_hidden_states", "pooled_projections", "return_dict"})
    in_mask = True

    def __init__(self, model: Any):
        super().__init__(model)
        self._kept: list[Kept] = []

    def keep(self, args: tuple, kwargs: dict[str, Any], stale: Tensor) -> Any:
        kept: list[Kept] = []

        def see(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
            kept.append(Kept(key, value))
            return key, value

        with _Attention(see):
            found = self._model(*args, **kwargs)
        for old, new in zip(self._kept, kept):
            new.key[stale], new.value[stale] = old.key[stale], old.value[stale]
        self._kept = kept
        return found

    def places(self, safe: list[int], masks: Tensor | None, is_between: bool) -> dict[int, Tensor]:
        """The tokens (h / patch, w / patch) that hold any place of a mask.

        Safe branches are whole wherever the original is due, so that a mask is not held to what it was.
        """
        if masks is None or not is_between:
            return {}
        return dict(zip(safe, F.max_pool2d(masks.float(), self._model.config.patch_size)[:, 0] > 0))

    def _run(self, args: tuple, kwargs: dict[str, Any], rows: Tensor, places: Tensor) -> Tensor:
        model = self._model
        tokens = model.pos_embed(kwargs["hidden_states"])
        place = _first(places.flatten(1)).to(tokens.device)
        at = place.unsqueeze(-1)
        picture = tokens.gather(1, at.expand(-1, -1, tokens.shape[-1]))
        told = model.time_text_embed(kwargs["timestep"], kwargs["pooled_projections"])
        text = model.context_embedder(kwargs["encoder_hidden_states"])
        kept = iter(self._kept)

        def follow(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
            whole = next(kept)
            return among(whole.key, key), among(whole.value, value)

        def among(whole: Tensor, own: Tensor) -> Tensor:
            """Of all tokens of the picture, the original's but at `place`, and of the text."""
            picture, text = own.split((place.shape[1], own.shape[2] - place.shape[1]), 2)
            index = place[:, None, :, None].expand_as(picture)
            return torch.cat([whole[rows, :, : tokens.shape[1]].scatter(2, index, picture), text], 2)

        with _Attention(follow):
            for block in model.transformer_blocks:
                text, picture = block(hidden_states=picture, encoder_hidden_states=text, temb=told)
        patches = model.proj_out(model.norm_out(picture, told))
        spread = patches.new_zeros(*tokens.shape[:2], patches.shape[-1])
        spread.scatter_(1, at.expand_as(patches), patches)
        size, (height, width) = model.config.patch_size, places.shape[1:]
        return rearrange(spread, "n (h w) (p q c) -> n c (h p) (w q)", h=height, w=width, p=size, q=size)


def _first(places: Tensor) -> Tensor:
    """Indices (n, most) of what is true in each row of (n, tokens), filled up with others where a row has fewer."""
    most = int(places.sum(1).max())
    return places.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
