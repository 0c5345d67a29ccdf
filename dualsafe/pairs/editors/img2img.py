"""Edits existing pictures by a dual image-to-image pipeline."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ...judges import Judge
from ...policy import Policy, resolve
from ..pair import Declined, Job, Made, Scope
from ..route import route
from .batch import UNCHANGED, answered
from .dual import called, declined, made_of, named, revision_of
from .existing import Existing, existing, round_trip, sides, size_of

if TYPE_CHECKING:
    from ...pipelines.dual import DualLatentMixin


class ImageToImageEditor:
    """Picture to pair: the job's prompt is the picture's caption.

    The original is the picture after the pipeline's autoencoder, at the model's size, and not what the original branch
    draws at this strength, which may no longer show what the label says. The edited side is the safe branch where the
    two branches differ, and the original to the bit elsewhere: no real pixel is left on either side that would tell
    them apart.

    Args:
        pipe: an image-to-image pipeline of `dualsafe.pipelines`.
        policy: says what is unsafe, and what takes its place where a job has no edited prompt.
        steps: denoising steps, of which the share `strength` is run.
        guidance_scale: None takes the stock pipeline's own.
        guard: a judge that looks at half-made pictures of captions with innocent words, in the place of the watch.
        strength: how much of the picture is drawn anew, in (0, 1].
        side: pictures are scaled to about side x side pixels; None takes the model's own size.
        scope: as a dual call's: "words" makes no pair of a caption with innocent words.
    """

    takes_pictures = True
    follows_instructions = False

    def __init__(
        self,
        pipe: DualLatentMixin,
        policy: str | os.PathLike | Policy,
        steps: int = 25,
        guidance_scale: float | None = None,
        guard: Judge | None = None,
        strength: float = 0.6,
        side: int | None = None,
        scope: Scope = "all",
    ):
        self._pipe, self._policy, self._guard = pipe, resolve(policy), guard
        self.looks = scope == "all"
        self._side = side or pipe.unet.config.sample_size * pipe.vae_scale_factor
        scale = pipe.sampling_defaults()["guidance_scale"] if guidance_scale is None else guidance_scale
        self._options: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": scale, "strength": strength}
        self.revision = revision_of(pipe)
        self.name = named("img2img", guard, steps=steps, guidance_scale=scale, strength=strength)

    def make(self, jobs: list[Job]) -> list[Made | Declined]:
        """One answer a job, in order; pictures of one size share a batch.

        Raises:
            PairsError: a job without a picture, or with one that can't be taken.
        """
        return answered(jobs, self._ready, self._draw, together=size_of)

    def _ready(self, job: Job) -> Existing | Declined:
        refused = route(job, "real_edit", self._policy, self.looks)
        return refused or existing(job, self._side, self._pipe.vae_scale_factor)

    def _draw(self, batch: list[Existing]) -> list[Made | Declined]:
        pictures = [each.picture for each in batch]
        output = called(
            self._pipe,
            [each.job for each in batch],
            self._policy,
            self._guard,
            self.looks,
            image=pictures,
            output_type="pt",
            **self._options,
        )
        reasons = [declined(output, i) for i in range(len(batch))]
        if output.masks is None:
            return [reason or UNCHANGED for reason in reasons]
        original = round_trip(self._pipe, pictures, "upcast" in self._pipe.pattern.decoding)
        both = sides(self._pipe, original, output.images * 2 - 1, output.masks)
        return [reason or made_of(report, *each) for reason, report, each in zip(reasons, output.safety, both)]
