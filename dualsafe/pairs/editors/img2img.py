"""Edits existing pictures by a dual image-to-image pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PIL import Image

from ..pair import Declined, Job, Made
from .batch import answered
from .dual import DualEditor, named
from .existing import Existing, existing, round_trip, sides, size_of


class ImageToImageEditor(DualEditor):
    """Picture to pair: as `DualEditor`, and the job's prompt is the picture's caption.

    The original is the picture after the pipeline's autoencoder, at the model's size, and not what the original branch
    draws at this strength, which may no longer show what the label says. The edited side is the safe branch where the
    two branches differ, and the original to the bit elsewhere: no real pixel is left on either side that would tell
    them apart.

    Args:
        pipe: an image-to-image pipeline of `dualsafe.pipelines`.
        strength: how much of the picture is drawn anew, in (0, 1].
        side: pictures are scaled to about side x side pixels; None takes the model's own size.
        **options: as `DualEditor`'s; of `steps` the share `strength` is run.
    """

    takes_pictures = True

    def __init__(self, pipe: Any, policy: Any, strength: float = 0.6, side: int | None = None, **options: Any):
        super().__init__(pipe, policy, kind="real_edit", **options)
        self._side = side or pipe.unet.config.sample_size * pipe.vae_scale_factor
        steps, scale = self._options.values()
        self._options["strength"] = strength
        self.name = named("img2img", self._guard, steps=steps, guidance_scale=scale, strength=strength)

    def make(self, jobs: list[Job]) -> list[Made | Declined]:
        """One answer a job, in order; pictures of one size share a batch.

        Raises:
            PairsError: a job without a picture, or with one that cannot be taken.
        """
        return answered(jobs, self._ready, self._draw, together=size_of)

    def _ready(self, job: Job) -> Existing | Declined:
        refused = super()._ready(job)
        return refused if isinstance(refused, Declined) else existing(job, self._side, self._pipe.vae_scale_factor)

    def _call(self, batch: list[Existing]) -> Any:
        pictures = [each.picture for each in batch]
        return self._called([each.job for each in batch], image=pictures, output_type="pt")

    def _sides(self, output: Any, batch: list[Existing]) -> Iterable[tuple[Image.Image, Image.Image, Image.Image]]:
        pictures = [each.picture for each in batch]
        original = round_trip(self._pipe, pictures, "upcast" in self._pipe.pattern.decoding)
        return sides(self._pipe, original, output.images * 2 - 1, output.masks)
