"""What editors that follow an instruction share: the instruction, the mask of what it changed, the pair."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from ...policy import Policy, resolve, rewrite
from ..caption import instruction_for
from ..pair import Declined, Job, Made
from ..route import BENIGN, route
from .batch import FLAGGED, UNCHANGED, answered
from .dual import named, revision_of
from .existing import Existing, changed, existing, round_trip, sides, size_of


class InstructionEditor(ABC):
    """Picture to pair: the job's prompt is the picture's caption, its edited prompt the instruction.

    The original is the picture after the pipeline's autoencoder, at the model's size. The edited side is the model's
    where it differs from that, and the original to the bit elsewhere.

    Args:
        pipe: the stock pipeline.
        policy: says what to change where a job has no instruction.
        steps: denoising steps.
        guidance_scale: None takes the authors'.
        side: pictures are scaled to about side x side pixels; None takes the model's own size.
        floor: mean difference, of 2 from black to white, from which a place counts as changed.
        **more: of the pipeline's call.
    """

    takes_pictures = True
    follows_instructions = True
    looks = False
    kind: ClassVar[str]
    authors_scale: ClassVar[float]

    def __init__(
        self,
        pipe: Any,
        policy: str | os.PathLike | Policy,
        steps: int = 25,
        guidance_scale: float | None = None,
        side: int | None = None,
        floor: float = 0.15,
        **more: float,
    ):
        self._pipe, self._policy, self.revision = pipe, resolve(policy), revision_of(pipe)
        own, self._multiple = self._sizes()
        self._side, self._floor = side or own, floor
        scale = self.authors_scale if guidance_scale is None else guidance_scale
        self._options: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": scale, **more}
        self.name = named(self.kind, None, steps=steps, guidance_scale=scale, **more)

    def make(self, jobs: list[Job]) -> list[Made | Declined]:
        """One answer a job, in order; pictures of one size share a batch.

        Raises:
            PairsError: a job without a picture, or with one that can't be taken.
        """
        return answered(jobs, self._ready, self._edit, together=size_of)

    @abstractmethod
    def _sizes(self) -> tuple[int, int]:
        """The model's own side, and what sides must be multiples of; in pixels."""

    @abstractmethod
    def _draw(self, batch: list[Existing]) -> tuple[Tensor, list[bool], int]:
        """Edited pictures (N, 3, H, W) in [-1, 1], which of them are blackened, and denoiser rows of each."""

    def _ready(self, job: Job) -> Existing | Declined:
        if refused := route(job, "real_edit", self._policy, False):
            return refused
        triggers = rewrite(self._policy, job.prompt).triggers
        told = job.edited_prompt or instruction_for(self._policy, job.categories, triggers)
        return existing(job, self._side, self._multiple, told) if told else Declined(BENIGN)

    def _edit(self, batch: list[Existing]) -> list[Made | Declined]:
        edited, flagged, rows = self._draw(batch)
        original = round_trip(self._pipe, [each.picture for each in batch])
        mask = changed(original, edited, self._pipe.vae_scale_factor, self._floor)
        both = sides(self._pipe, original, edited, mask)
        return [
            FLAGGED if flag else self._made(each, *pair, rows) if pair[2].getbbox() else UNCHANGED
            for each, flag, pair in zip(batch, flagged, both)
        ]

    def _made(self, each: Existing, original: Any, edited: Any, mask: Any, rows: int) -> Made:
        found = rewrite(self._policy, each.job.prompt)
        return Made(
            original,
            edited,
            mask,
            found.text if found.triggers else None,
            tuple(dict.fromkeys(trigger.category for trigger in found.triggers)),
            tuple(dict.fromkeys(trigger.text for trigger in found.triggers)),
            rows,
            mask.histogram()[255] / (mask.width * mask.height),
            each.instruction,
        )
