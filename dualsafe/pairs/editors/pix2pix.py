"""Edits existing pictures by InstructPix2Pix."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from torch import Tensor

from ...policy import Policy
from .dual import generators, named
from .existing import Existing
from .instruction import InstructionEditor

if TYPE_CHECKING:
    from diffusers import StableDiffusionInstructPix2PixPipeline


class InstructPix2PixEditor(InstructionEditor):
    """Brooks et al., arXiv 2211.09800; see `InstructionEditor`.

    Args:
        pipe: the stock pipeline.
        policy: says what to change where a job has no instruction.
        steps: denoising steps.
        guidance_scale: higher follows the instruction more closely; None takes the authors' 7.5.
        image_guidance_scale: higher keeps more of the picture.
        side: pictures are scaled to about side x side pixels; None takes the model's own size.
        floor: mean difference, of 2 from black to white, from which a place counts as changed.
    """

    def __init__(
        self,
        pipe: StableDiffusionInstructPix2PixPipeline,
        policy: str | os.PathLike | Policy,
        steps: int = 25,
        guidance_scale: float | None = None,
        image_guidance_scale: float = 1.5,
        side: int | None = None,
        floor: float = 0.15,
    ):
        factor = pipe.vae_scale_factor
        super().__init__(pipe, policy, side or pipe.unet.config.sample_size * factor, factor, floor)
        scale = 7.5 if guidance_scale is None else guidance_scale
        self._options = {
            "num_inference_steps": steps,
            "guidance_scale": scale,
            "image_guidance_scale": image_guidance_scale,
        }
        self.name = named("pix2pix", steps=steps, guidance_scale=scale, image_guidance_scale=image_guidance_scale)

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
