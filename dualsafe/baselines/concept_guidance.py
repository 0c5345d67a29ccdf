"""Guidance away from concepts: the rows that it adds to each denoiser call, and what becomes of the prediction."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ..branches import Call, tell
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

    def __init__(
        self, model: Any, samples: int, steps: Steps, concepts: dict[str, Tensor], guide: Guide, guidance_scale: float
    ):
        self.model, self._samples, self._steps = model, samples, steps
        self.concepts, self.guide, self.guidance_scale = concepts, guide, guidance_scale
        self.rows = 0

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor]:
        call, n = Call(args, kwargs, self._samples, branches=1), self._samples
        groups = 2 + len(self.concepts["prompt_embeds"])
        rows = torch.cat([torch.arange(2 * n), torch.arange(n, 2 * n).repeat(groups - 2)]).to(call.sample.device)
        args, kwargs = call.taking(rows)
        added = rows.new_tensor(range(2 * n, len(rows)))
        tell(kwargs, added, {k: v.repeat_interleave(n, 0) for k, v in self.concepts.items()})
        e_0, e_p, *e_c = self.model(*args, **kwargs)[0].chunk(groups)
        self.rows += groups
        guided = self.guide(e_0, e_p, e_c, self._steps.at(call.timestep), self.guidance_scale)
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
            ValueError: a checkpoint without classifier-free guidance in its batch, or whose texts differ in length.
        """
        sampling = pipe.sampling_defaults() | sampling
        guidance_scale, pattern = sampling.get("guidance_scale", 0.0), pipe.pattern
        apart = pattern.scale != "guidance_scale" or pattern.negative_apart or pattern.after_guidance
        if apart or pattern.texts != "even" or guidance_scale <= 1:
            raise ValueError(
                f"{self.name} needs guidance_scale over 1, and classifier-free guidance in one batch of texts of one "
                f"length, as in Stable Diffusion 1, 2, XL and 3: this is {pattern.family}"
            )
        model, steps = getattr(pipe, pipe.denoiser_name), Steps(pipe.scheduler, pattern.timestep_scale)
        guide = self.guide(steps, sampling["num_inference_steps"] / 50)
        concepts = pipe.encode_texts(self.texts(pipe, policy), **sampling)
        denoiser = ConceptDenoiser(model, len(prompts), steps, concepts, guide, guidance_scale)
        with standing_in(pipe, {pipe.denoiser_name: StandIn(model, denoiser)}):
            drawn = draw(pipe, prompts, seeds, policy, **sampling)
        return Drawn(drawn.images, [denoiser.rows] * len(prompts), drawn.masks, drawn.reports)
