"""Latents as a denoiser is given them, and as (N, C, h, w)."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor


class Layout:
    """Flux and those after it pack patches of 2x2 latents into tokens; other families leave latents as they are.

    Args:
        grid: rows and columns of patches, where they are known before the denoiser is told of them.
    """

    def __init__(self, grid: tuple[int, int] | None = None):
        self._grid = grid

    def read(self, img_ids: Tensor | None, img_shapes: list | None = None) -> None:
        """Takes rows and columns of patches, once, from what the denoiser is told; spatial latents have none.

        Args:
            img_ids: positions (picture, row, column, ...) of tokens, (tokens, 3), or (N, tokens, 4) in Flux.2; those of
                picture 0 are the latents'.
            img_shapes: of each sample its pictures' (frames, rows, columns), in Qwen-Image.
        """
        if self._grid is not None:
            return
        if img_shapes is not None:
            _, rows, columns = img_shapes[0][0]
            self._grid = rows, columns
        elif img_ids is not None:
            ids = img_ids[0] if img_ids.ndim == 3 else img_ids
            rows, columns = (((ids[:, :1] == 0) * ids[:, 1:3]).max(0).values + 1).int().tolist()
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
