"""Latents as a denoiser is given them, and as (N, C, h, w)."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor


class Layout:
    """Flux packs patches of 2x2 latents into tokens; other families leave latents as they are."""

    def __init__(self) -> None:
        self._grid: tuple[int, int] | None = None

    def read(self, img_ids: Tensor | None) -> None:
        """Takes rows and columns of patches from position ids (tokens, 3), once; spatial latents have none."""
        if img_ids is not None and self._grid is None:
            rows, columns = (img_ids[:, 1:].max(0).values + 1).int().tolist()
            self._grid = rows, columns

    def spatial(self, x: Tensor) -> Tensor:
        """(N, C, h, w) of predictions or latents."""
        if self._grid is None:
            return x
        h, w = self._grid
        return rearrange(x, "n (h w) (c p q) -> n c (h p) (w q)", h=h, w=w, p=2, q=2)

    def packed(self, x: Tensor) -> Tensor:
        """What `spatial` undoes."""
        return x if self._grid is None else rearrange(x, "n c (h p) (w q) -> n (h w) (c p q)", p=2, q=2)

    def latents(self, z: Tensor, channels: int) -> Tensor:
        """(N, channels, h, w) of a denoiser's input: an inpainting UNet gets the mask and picture after them."""
        return self.spatial(z)[:, :channels]
