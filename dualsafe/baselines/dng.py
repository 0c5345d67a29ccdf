"""Dynamic negative guidance (Koulischer et al., arXiv 2410.14398): as strong as the concept is likely by now."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .. import method
from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from .concept_guidance import GuidesAway
from .protocol import concept_text
from .steps import Steps


@dataclass(frozen=True)
class DNG(GuidesAway):
    """Guides away from the policy's concepts by s p / (1 - p), p the posterior of the concept along the trajectory.

    e = e_0 + s (e_p - e_0) - s p / (1 - p) (e_c - e_0). At p = 1/2 it pushes as a negative prompt does. After a step
    from t to t' (algorithm 1)

        log p += temperature / (2 var) (||z' - mu_0||^2 - ||z' - mu_c||^2),

    mu the means of the step under e_0 and e_c, z' where it led, var the variance of the step. Written in the clean
    latents, with z' at its mean, the factors are temperature / 2 (SNR' - SNR), SNR = (alpha / sigma)^2: so it holds for
    every solver and spacing, and costs 3 rows. The noise that an ancestral sampler adds is left out: its share has mean
    zero.

    The released code (FelixKoulischer/Dynamic-Negative-Guidance) removes a class from an unconditional model, without a
    prompt; there s is an own scale. Prior, temperature and the clamp are those of its example on CIFAR-10. Its offset,
    2e-4 for each of 1,000 steps in pixels, has no counterpart here and is its default, 0.

    Attributes:
        prior: p before the first step.
        temperature: tau.
        least, most: p is clamped to them.
    """

    name: str = "dng"
    prior: float = 0.01
    temperature: float = 0.2
    least: float = 1e-6
    most: float = 0.8

    def texts(self, pipe: DualLatentMixin, policy: Policy) -> list[str]:
        return [concept_text(pipe, policy)]

    def guide(self, steps: Steps, scale: float) -> _Guide:
        return _Guide(self, steps)


@dataclass
class _Guide:
    method: DNG
    steps: Steps
    log_p: Tensor | None = field(default=None)
    _last: tuple[float, Tensor] | None = field(default=None)

    def __call__(self, e_0: Tensor, e_p: Tensor, e_c: list[Tensor], step: int, guidance_scale: float) -> Tensor:
        (e_n,), snr = e_c, signal_to_noise(self.steps.level)
        if self.log_p is None:
            self.log_p = torch.full((len(e_0),), self.method.prior, device=e_0.device).log()
        if self._last is not None:
            before, gained = self._last
            self.log_p = self.log_p + self.method.temperature / 2 * (snr - before) * gained
        self.log_p = self.log_p.clamp(_log(self.method.least), _log(self.method.most))
        p = self.log_p.exp().to(e_0.dtype)[:, None, None, None]
        guided = e_0 + guidance_scale * (e_p - e_0 - p / (1 - p) * (e_n - e_0))
        # distances of clean latents are those of predictions, by the factor between the two
        distances = [(guided - e).float().square().flatten(1).sum(1) for e in (e_0, e_n)]
        self._last = snr, clean_per_prediction(self.steps) ** 2 * (distances[0] - distances[1])
        return guided


def signal_to_noise(level: method.NoiseLevel) -> float:
    """(alpha / sigma)^2."""
    alpha, sigma = level
    return float(alpha / sigma) ** 2


def clean_per_prediction(steps: Steps) -> float:
    """By how much the clean latents move as the prediction does: -sigma / alpha for epsilon."""
    one, nothing = torch.ones(()), torch.zeros(())
    return float(method.clean_latents(nothing, one, steps.level, steps.prediction_type))


def _log(p: float) -> float:
    return float(torch.tensor(p).log())
