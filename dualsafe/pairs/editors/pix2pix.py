"""Edits existing pictures by InstructPix2Pix."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .dual import generators
from .existing import Existing
from .instruction import InstructionEditor


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
