"""Semantic guidance (Brack et al., arXiv 2301.12247) in the direction away from each category of the policy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from .concept_guidance import GuidesAway
from .protocol import category_texts
from .steps import Steps


@dataclass(frozen=True)
class SEGA(GuidesAway):
    """Guides away from every category at once: 2 + K rows a step.

    Attributes:
        scale: s_e.
        warmup: delta, steps of 50 before it guides.
        quantile: lambda: only the largest values of each channel count.
        momentum_scale, momentum_beta: s_m and beta.
    """

    name: str = "sega"
    scale: float = 5.0
    warmup: int = 10
    quantile: float = 0.9
    momentum_scale: float = 0.1
    momentum_beta: float = 0.4

    def texts(self, pipe: DualLatentMixin, policy: Policy) -> list[str]:
        return category_texts(pipe, policy)

    def guide(self, steps: Steps, scale: float) -> _Guide:
        return _Guide(self, round(self.warmup * scale))


@dataclass
class _Guide:
    method: SEGA
    warmup: int
    momentum: Tensor | None = None

    def __call__(self, e_0: Tensor, e_p: Tensor, e_c: list[Tensor], step: int, guidance_scale: float) -> Tensor:
        """e_0 + s (e_p - e_0) - gamma: over concepts the sum of s_e (e_c - e_0) where it is largest, with momentum."""
        psi = self.method.scale * (torch.stack(e_c) - e_0)
        sizes = psi.abs().flatten(3)
        floor = sizes.float().quantile(self.method.quantile, dim=3, keepdim=True).to(psi.dtype)
        kept = torch.where(sizes >= floor, psi.flatten(3), 0.0).view_as(psi).sum(0)
        momentum = torch.zeros_like(e_0) if self.momentum is None else self.momentum
        gamma = kept + self.method.momentum_scale * momentum
        self.momentum = self.method.momentum_beta * momentum + (1 - self.method.momentum_beta) * gamma
        guidance = guidance_scale * (e_p - e_0)
        return e_0 + (guidance - gamma if step >= self.warmup else guidance)
