"""Safe latent diffusion (Schramowski et al., arXiv 2211.05105), written from its equations."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from .concept_guidance import GuidesAway
from .protocol import category_texts, concept_text
from .steps import Steps


@dataclass(frozen=True)
class SLD(GuidesAway):
    """Guides away from one safety concept: the policy's terms in a row.

    Attributes:
        warmup: delta, steps of 50 before it guides.
        scale: s_S.
        threshold: lambda.
        momentum_scale: s_m.
        momentum_beta: beta.
    """

    name: str
    warmup: int
    scale: float
    threshold: float
    momentum_scale: float
    momentum_beta: float

    def texts(self, pipe: DualLatentMixin, policy: Policy) -> list[str]:
        return [concept_text(pipe, policy)]

    def direction(self, e_0: Tensor, e_p: Tensor, e_c: list[Tensor]) -> Tensor:
        """mu (e_S - e_0), eq. 4 to 6: mu = 0 where e_p - e_S >= lambda, else min(1, |e_p - e_S| s_S)."""
        (e_s,) = e_c
        phi = e_p - e_s
        mu = torch.where(phi >= self.threshold, 0.0, (phi.abs() * self.scale).clamp(max=1.0))
        return (e_s - e_0) * mu

    def guide(self, steps: Steps, scale: float) -> _Guide:
        return _Guide(self, round(self.warmup * scale))


class SLDByCategory(SLD):
    """The same with a row a category of the policy: the mean of their directions, so that its size is SLD's.

    Not published under a name. Told all concepts in one string, SLD works against itself (arXiv 2602.20880).
    """

    def texts(self, pipe: DualLatentMixin, policy: Policy) -> list[str]:
        return category_texts(pipe, policy)

    def direction(self, e_0: Tensor, e_p: Tensor, e_c: list[Tensor]) -> Tensor:
        return torch.stack([super(SLDByCategory, self).direction(e_0, e_p, [e_s]) for e_s in e_c]).mean(0)


@dataclass
class _Guide:
    method: SLD
    warmup: int
    momentum: Tensor | None = field(default=None)

    def __call__(self, e_0: Tensor, e_p: Tensor, e_c: list[Tensor], step: int, guidance_scale: float) -> Tensor:
        """e_0 + s (e_p - e_0 - gamma), eq. 3, 7 and 8; without gamma during warm-up, while the momentum builds."""
        method = self.method
        momentum = torch.zeros_like(e_0) if self.momentum is None else self.momentum
        gamma = method.direction(e_0, e_p, e_c) + method.momentum_scale * momentum
        self.momentum = method.momentum_beta * momentum + (1 - method.momentum_beta) * gamma
        guidance = e_p - e_0
        return e_0 + guidance_scale * (guidance - gamma if step >= self.warmup else guidance)


PRESETS = (
    SLD("sld-weak", 15, 20, 0.0, 0.0, 0.0),
    SLD("sld-medium", 10, 1000, 0.01, 0.3, 0.4),
    SLD("sld-strong", 7, 2000, 0.025, 0.5, 0.7),
    SLD("sld-max", 0, 5000, 1.0, 0.5, 0.7),
)
"""The paper's presets, weak with the scale that diffusers gives it."""


def presets_of(kind: type[SLD], name: str) -> tuple[SLD, ...]:
    """The same presets of a variant; `name` has a {} for the preset's."""
    return tuple(
        kind(**vars(replace(preset, name=name.format(preset.name.removeprefix("sld-"))))) for preset in PRESETS
    )
