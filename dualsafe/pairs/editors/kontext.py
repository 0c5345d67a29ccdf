"""Edits existing pictures by Flux Kontext."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from torch import Tensor

from ...policy import Policy
from .dual import generators, named
from .existing import Existing
from .instruction import InstructionEditor

if TYPE_CHECKING:
    from diffusers import FluxKontextPipeline


class FluxKontextEditor(InstructionEditor):
    """Black Forest Labs, arXiv 2506.15742; see `InstructionEditor`.

    Args:
        pipe: the stock pipeline.
        policy: says what to change where a job has no instruction.
        steps: denoising steps.
        guidance_scale: the distilled guidance; None takes the authors' 2.5.
        side: pictures are scaled to about side x side pixels; None takes the model's own size.
        floor: mean difference, of 2 from black to white, from which a place counts as changed.
    """

    def __init__(
        self,
        pipe: FluxKontextPipeline,
        policy: str | os.PathLike | Policy,
        steps: int = 25,
        guidance_scale: float | None = None,
        side: int | None = None,
        floor: float = 0.15,
    ):
        factor = pipe.vae_scale_factor
        super().__init__(pipe, policy, side or pipe.default_sample_size * factor, 2 * factor, floor)
        scale = 2.5 if guidance_scale is None else guidance_scale
        self._options = {"num_inference_steps": steps, "guidance_scale": scale}
        self.name = named("kontext", steps=steps, guidance_scale=scale)

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
