"""Edits existing pictures by Flux Kontext."""

from __future__ import annotations

from torch import Tensor

from .dual import generators
from .existing import Existing
from .instruction import InstructionEditor


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
