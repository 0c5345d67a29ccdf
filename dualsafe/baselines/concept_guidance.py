"""Guidance away from concepts: the rows that it adds to each denoiser call, and what becomes of the prediction."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ..branches import take, tell
from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from ..stand_in import StandIn, standing_in
from .protocol import Drawn
from .steps import Steps
from .stock import draw


class Guide(Protocol):
    """The method's own guidance; keeps its momentum between steps."""

    def __call__(self, e_0: Tensor, e_p: Tensor, e_c: list[Tensor], step: int, guidance_scale: float) -> Tensor:
        """The guided prediction.

        Args:
            e_0, e_p: predictions without and with the prompt, (N, C, h, w).
            e_c: predictions under each concept.
            step: from 0, in steps of the scheduler.
        """


class ConceptDenoiser:
    """Called in place of `model`: adds a group of rows for each concept, and guides.

    Both groups that it hands back are the guided prediction, which the loop's own guidance then leaves as it is.

    Attributes:
        rows: denoiser rows spent on each sample so far.
    """

    def __init__(self, model: Any, steps: Steps, concepts: dict[str, Tensor], guide: Guide, guidance_scale: float):
        self.model, self._steps = model, steps
        self.concepts, self.guide, self.guidance_scale = concepts, guide, guidance_scale
        self.rows = 0

    def __call__(self, sample: Tensor, timestep: Tensor | float, **kwargs: Any) -> tuple[Tensor]:
        groups, n = 2 + len(self.concepts["prompt_embeds"]), len(sample) // 2
        rows = torch.cat([torch.arange(2 * n), torch.arange(n, 2 * n).repeat(groups - 2)]).to(sample.device)
        call = take("denoiser", kwargs, rows, 2 * n)
        tell(
            call,
            rows.new_tensor(range(2 * n, len(rows))),
            {k: v.repeat_interleave(n, 0) for k, v in self.concepts.items()},
        )
        e_0, e_p, *e_c = self.model(sample[rows], timestep, **call)[0].chunk(groups)
        self.rows += groups
        guided = self.guide(e_0, e_p, e_c, self._steps.at(timestep), self.guidance_scale)
        return (torch.cat([guided, guided]),)


class GuidesAway:
    """A safety method that draws with the stock loop, guided away from texts: a row of the denoiser's batch each."""

    name: str

    def texts(self, pipe: DualLatentMixin, policy: Policy) -> list[str]:
        """What it is told of the policy."""
        raise NotImplementedError

    def guide(self, steps: Steps, scale: float) -> Guide:
        """The guidance of a run.

        Args:
            steps: of the run; holds its noise level.
            scale: steps of the run for each of the 50 that papers count warm-ups in.
        """
        raise NotImplementedError

    def generate(
        self, pipe: DualLatentMixin, prompts: list[str], seeds: list[int], policy: Policy, **sampling: Any
    ) -> Drawn:
        """
        Raises:
            ValueError: a checkpoint without classifier-free guidance in its batch.
        """
        sampling = pipe.sampling_defaults() | sampling
        guidance_scale = sampling["guidance_scale"]
        if pipe.denoiser_name != "unet" or guidance_scale <= 1:
            raise ValueError("guidance away from concepts needs a UNet and guidance_scale over 1")
        model, steps = getattr(pipe, pipe.denoiser_name), Steps(pipe.scheduler)
        guide = self.guide(steps, sampling["num_inference_steps"] / 50)
        denoiser = ConceptDenoiser(model, steps, pipe.encode_texts(self.texts(pipe, policy)), guide, guidance_scale)
        with standing_in(pipe, {pipe.denoiser_name: StandIn(model, denoiser)}):
            drawn = draw(pipe, prompts, seeds, policy, **sampling)
        return Drawn(drawn.images, [denoiser.rows] * len(prompts), drawn.masks, drawn.reports)
