"""CLIP as a measuring instrument: how well a picture fits its prompt, and features to compare pictures by."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..judges.clip import picture_embeds, text_embeds
from ..judges.models import load_model, pixel_batches


class ClipScorer:
    """A local CLIP checkpoint of transformers.

    Args:
        model: a `CLIPModel`.
        processor: its `CLIPProcessor`.
    """

    def __init__(self, model: Any, processor: Any):
        self._model, self._processor = model, processor

    @classmethod
    def from_pretrained(cls, path: str, device: str = "cpu") -> ClipScorer:
        """
        Raises:
            CheckpointError: no CLIP checkpoint in safetensors.
        """
        from transformers import CLIPModel, CLIPProcessor

        return cls(load_model(CLIPModel, path, device), CLIPProcessor.from_pretrained(path))

    def features(self, pictures: list[Image.Image]) -> NDArray[np.float32]:
        """Image embeddings of unit length, (N, F)."""
        batches = pixel_batches(pictures, self._processor.image_processor, self._model)
        return torch.cat([picture_embeds(self._model, pixels) for pixels in batches]).cpu().numpy()

    def scores(self, features: NDArray[np.float32], prompts: list[str]) -> list[float]:
        """100 x cosine of each picture's features and its prompt, at least 0 (Hessel et al., arXiv 2104.08718)."""
        texts = text_embeds(self._model, self._processor.tokenizer, prompts).cpu().numpy()
        return (100 * (features * texts).sum(1)).clip(0).tolist()
