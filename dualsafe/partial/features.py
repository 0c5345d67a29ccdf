"""The safe branch of a UNet on the original's deepest features.

What lies deepest changes least from step to step, which DeepCache (arXiv 2312.00858) uses, and from branch to branch:
`benchmarks/reuse.py`. The deepest level of the safe branch is not computed; its output is that of the original's last
call.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from .partial import Partial

AGREE = 0.2
"""Difference of the deepest features at the safe branch's first step, by their size, from which a sample keeps its own:
on picto, what covers the whole subject is over it, and what is held is under it (`benchmarks/reuse.py`)."""


class DeepFeatures(Partial):
    """Two views of a UNet, which share all its weights: one keeps its deepest features, one is given them.

    Raises:
        TypeError: the text acts in the deepest level alone, or hooks stand in the place of the UNet's own forward.
    """

    told = frozenset(
        {"sample", "timestep", "encoder_hidden_states", "timestep_cond", "cross_attention_kwargs", "added_cond_kwargs",
         "return_dict"}
    )  # fmt: skip
    in_mask = False

    def __init__(self, model: UNet2DConditionModel):
        super().__init__(model)
        if "forward" in model.__dict__:
            raise TypeError("sparse=True takes no UNet whose forward is hooked, as by offload: set sparse=False")
        down, up = list(model.down_blocks), list(model.up_blocks)
        if len(down) < 2 or not any(getattr(block, "has_cross_attention", False) for block in (*down[:-1], *up[1:])):
            raise TypeError("sparse=True needs a UNet that heeds texts outside its deepest level: set sparse=False")
        self._apart: dict[int, float] = {}
        self._kept = _Kept(up[0])
        self._keeping = _view(model, up_blocks=[self._kept, *up[1:]])
        self._given = _Given(up[0])
        self._shallow = _view(
            model, down_blocks=[*down[:-1], _Skipped(down[-1])], mid_block=None, up_blocks=[self._given, *up[1:]]
        )

    def keep(self, args: tuple, kwargs: dict[str, Any], stale: Tensor) -> Any:
        before = self._kept.features
        found = self._keeping(*args, **kwargs)
        if before is not None and len(stale):
            self._kept.features = self._kept.features.index_copy(0, stale, before[stale])
        return found

    def whole(self, args: tuple, kwargs: dict[str, Any], rows: Tensor, samples: list[int]) -> Any:
        """Notes how far each sample's features are from its original's, when it is first computed."""
        original = self._kept.features
        found = self._keeping(*args, **kwargs)
        own, self._kept.features = self._kept.features, original
        if not self._apart.keys() >= set(samples):
            with_prompt = slice(-len(samples), None)  # the last guidance group
            for i, apart in zip(samples, apart_by(own[with_prompt], original[rows[with_prompt]]).tolist()):
                self._apart.setdefault(i, apart)
        return found

    def places(self, safe: list[int], masks: Tensor | None, is_between: bool) -> dict[int, Tensor]:
        """All of them, where the features of both branches agree."""
        return {i: torch.ones(1, 1, dtype=torch.bool) for i in safe if self._apart.get(i, AGREE) < AGREE}

    def _run(self, args: tuple, kwargs: dict[str, Any], rows: Tensor, places: Tensor) -> Tensor:
        self._given.features = self._kept.features[rows]
        return self._shallow(*args, **kwargs)[0]


def apart_by(own: Tensor, original: Tensor) -> Tensor:
    """Root mean square difference of features (n, C, h, w) by the original's root mean square: (n,)."""
    return ((own - original).float().square().mean((1, 2, 3)) / original.float().square().mean((1, 2, 3))).sqrt()


def _view(model: UNet2DConditionModel, **parts: Any) -> UNet2DConditionModel:
    """The same model, of which some parts are others; the model itself stays as it is."""
    view = copy.copy(model)
    lists = {name: torch.nn.ModuleList(part) if part is not None else None for name, part in parts.items()}
    view.__dict__["_modules"] = {**model._modules, **lists}
    return view


class _Kept(torch.nn.Module):
    """An up block whose output is kept."""

    def __init__(self, block: torch.nn.Module):
        super().__init__()
        self._block, self.resnets = block, block.resnets
        self.has_cross_attention = getattr(block, "has_cross_attention", False)
        self.features: Any = None

    def forward(self, **told: Any) -> Tensor:
        self.features = self._block(**told)
        return self.features


class _Given(torch.nn.Module):
    """In the place of an up block: features that were kept."""

    features: Tensor

    def __init__(self, block: torch.nn.Module):
        super().__init__()
        self.resnets = block.resnets

    def forward(self, **told: Any) -> Tensor:
        return self.features


class _Skipped(torch.nn.Module):
    """In the place of the deepest down block, for up blocks that are not there either: as many residuals as it has."""

    def __init__(self, block: Any):
        super().__init__()
        self._residuals = len(block.resnets) + len(block.downsamplers or ())

    def forward(self, hidden_states: Tensor, temb: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return hidden_states, (hidden_states,) * self._residuals
