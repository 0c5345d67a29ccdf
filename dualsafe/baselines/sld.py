"""Safe latent diffusion (Schramowski et al., arXiv 2211.05105), written from its equations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from .concept_guidance import draw_away_from
from .protocol import Drawn, concept_text

_STEPS = 50  # that the presets' warm-up counts in


@dataclass(frozen=True)
class SLD:
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

    def generate(
        self, pipe: DualLatentMixin, prompts: list[str], seeds: list[int], policy: Policy, **sampling: Any
    ) -> Drawn:
        sampling = pipe.sampling_defaults() | sampling
        warmup = round(self.warmup * sampling["num_inference_steps"] / _STEPS)
        texts = [concept_text(pipe, policy)]
        return draw_away_from(pipe, texts, lambda: _Guide(self, warmup), prompts, seeds, policy, **sampling)


@dataclass
class _Guide:
    preset: SLD
    warmup: int
    momentum: Tensor | None = field(default=None)

    def __call__(self, e_0: Tensor, e_p: Tensor, e_c: list[Tensor], step: int, guidance_scale: float) -> Tensor:
        """e_0 + s (e_p - e_0 - gamma), eq. 3 to 8; without gamma during warm-up, while the momentum builds."""
        preset, (e_s,) = self.preset, e_c
        phi = e_p - e_s
        mu = torch.where(phi >= preset.threshold, 0.0, (phi.abs() * preset.scale).clamp(max=1.0))
        momentum = torch.zeros_like(e_0) if self.momentum is None else self.momentum
        gamma = (e_s - e_0) * mu + preset.momentum_scale * momentum
        self.momentum = preset.momentum_beta * momentum + (1 - preset.momentum_beta) * gamma
        guidance = e_p - e_0
        return e_0 + guidance_scale * (guidance - gamma if step >= self.warmup else guidance)


PRESETS = (
    SLD("sld-weak", 15, 20, 0.0, 0.0, 0.0),
    SLD("sld-medium", 10, 1000, 0.01, 0.3, 0.4),
    SLD("sld-strong", 7, 2000, 0.025, 0.5, 0.7),
    SLD("sld-max", 0, 5000, 1.0, 0.5, 0.7),
)
"""The paper's presets, weak with the scale that diffusers gives it."""
