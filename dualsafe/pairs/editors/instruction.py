"""Edits existing pictures by an instruction: InstructPix2Pix and Flux Kontext."""

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
from .dual import generators, named, revision_of
from .editor import Editor
from .existing import Existing, changed, existing, round_trip, sides, size_of


class InstructionEditor(Editor, ABC):
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
            PairsError: a job without a picture, or with one that cannot be taken.
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


class InstructPix2PixEditor(InstructionEditor):
    """Brooks et al., arXiv 2211.09800; see `InstructionEditor`.

    Args:
        image_guidance_scale: higher keeps more of the picture.
    """

    kind, authors_scale = "pix2pix", 7.5

    def __init__(self, *given: Any, image_guidance_scale: float = 1.5, **options: Any):
        super().__init__(*given, image_guidance_scale=image_guidance_scale, **options)

    def _sizes(self) -> tuple[int, int]:
        factor = self._pipe.vae_scale_factor
        return self._pipe.unet.config.sample_size * factor, factor

    def _draw(self, batch: list[Existing]) -> tuple[Tensor, list[bool], int]:
        output = self._pipe(
            [each.instruction for each in batch],
            image=[each.picture for each in batch],
            generator=generators([each.job for each in batch]),
            output_type="pt",
            **self._options,
        )
        rows = 3 if self._pipe.do_classifier_free_guidance else 1
        flagged = output.nsfw_content_detected or [False] * len(batch)
        return output.images * 2 - 1, flagged, rows * self._pipe.num_timesteps


class FluxKontextEditor(InstructionEditor):
    """Black Forest Labs, arXiv 2506.15742; see `InstructionEditor`."""

    kind, authors_scale = "kontext", 2.5

    def _sizes(self) -> tuple[int, int]:
        factor = self._pipe.vae_scale_factor
        return self._pipe.default_sample_size * factor, 2 * factor

    def _draw(self, batch: list[Existing]) -> tuple[Tensor, list[bool], int]:
        width, height = batch[0].picture.size
        output = self._pipe(
            image=[each.picture for each in batch],
            prompt=[each.instruction for each in batch],
            width=width,
            height=height,
            max_area=width * height,
            _auto_resize=False,  # else both sides would be of another size than the original
            generator=generators([each.job for each in batch]),
            output_type="pt",
            **self._options,
        )
        return output.images * 2 - 1, [False] * len(batch), self._pipe.num_timesteps
