"""Model editing as a method: a copy of the denoiser is changed once, and then drawn with as the stock pipeline does."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from ..stand_in import standing_in
from .protocol import Drawn
from .stock import draw

Edit = Callable[[DualLatentMixin, nn.Module, Policy], None]
"""Changes a copy of the pipeline's UNet in place."""


@dataclass(frozen=True)
class Edited:
    """Draws with an edited copy of the UNet: 2 rows a step, and seconds once for a policy.

    The pipeline's own weights stay as they are. The copy of the last policy is kept as long as the UNet that it is of,
    so weights that are changed after the first call (a LoRA) are not seen.
    """

    name: str
    edit: Edit
    _copies: WeakKeyDictionary[Any, tuple[str, nn.Module, float]] = field(
        default_factory=WeakKeyDictionary, repr=False, compare=False
    )

    def prepare(self, pipe: DualLatentMixin, policy: Policy) -> tuple[nn.Module, float]:
        """The edited copy, and the seconds that editing took.

        Raises:
            ValueError: a checkpoint without a UNet.
        """
        if pipe.denoiser_name != "unet":
            raise ValueError(f"{self.name} edits the cross-attention of a UNet, which this checkpoint does not have")
        held = self._copies.get(pipe.unet)
        if held is None or held[0] != policy.hash:
            begin = time.perf_counter()
            copy = deepcopy(pipe.unet).requires_grad_(False)
            self.edit(pipe, copy, policy)
            held = self._copies[pipe.unet] = policy.hash, copy, time.perf_counter() - begin
        return held[1], held[2]

    def generate(
        self, pipe: DualLatentMixin, prompts: list[str], seeds: list[int], policy: Policy, **sampling: Any
    ) -> Drawn:
        copy, seconds = self.prepare(pipe, policy)
        with standing_in(pipe, {"unet": copy}):
            drawn = draw(pipe, prompts, seeds, policy, **sampling)
        return Drawn(drawn.images, drawn.rows, drawn.masks, drawn.reports, editing=seconds)


def cross_attention(unet: nn.Module, *layers: str) -> dict[str, nn.Linear]:
    """The linear layers of the cross-attentions, by name; only those whose name ends in one of `layers`, if any."""
    return {
        name: module
        for name, module in unet.named_modules()
        if "attn2" in name and isinstance(module, nn.Linear) and (not layers or name.endswith(layers))
    }
