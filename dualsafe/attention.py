"""Where a UNet looks at some of the prompt's tokens: its cross-attention, seen from outside."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class CrossAttention(TorchFunctionMode):
    """Sums up, while it is entered, how much each place attends to chosen tokens.

    It watches torch's scaled dot product attention in this thread and computes its probabilities once more, so that no
    module, processor or hook is touched. Attention that runs elsewhere (xformers, a compiled graph) isn't seen.

    Args:
        tokens: (N, T) bool, which tokens of the last N rows of the batch, the conditional ones, count.
        size: height and width of the latents.
    """

    def __init__(self, tokens: Tensor, size: tuple[int, int]):
        super().__init__()
        self._tokens, self._size = tokens, size
        self._seen: list[Tensor] = []

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            names = ("query", "key")
            self._watch(*(kwargs[name] if name in kwargs else args[i] for i, name in enumerate(names)))
        return func(*args, **kwargs)

    @property
    def map(self) -> Tensor | None:
        """The mean over layers and heads, (N, 1, h, w), each sample's largest being 1; None if nothing was seen.

        All ones for a sample that has no token to look for.
        """
        if not self._seen:
            return None
        total = torch.stack(self._seen).mean(0)
        largest = total.amax((1, 2, 3), keepdim=True)
        return torch.where(largest > 0, total / largest.clamp(min=1e-12), torch.ones_like(total))

    def _watch(self, query: Tensor, key: Tensor) -> None:
        n, length = self._tokens.shape
        places = query.shape[-2]
        if key.shape[-2] != length or places == length:
            return
        factor = isqrt(self._size[0] * self._size[1] // places)
        h, w = self._size[0] // factor, self._size[1] // factor
        if h * w != places:
            return
        query, key = query[-n:].float(), key[-n:].float()
        probability = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1).mean(1)
        found = (probability @ self._tokens.to(probability)[..., None]).view(n, 1, h, w)
        self._seen.append(F.interpolate(found, self._size, mode="bilinear"))
