"""CLIP as a measuring instrument: how well a picture fits its prompt, and features to compare pictures by."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..judges.models import load_model


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

    @torch.no_grad()
    def features(self, pictures: list[Image.Image]) -> NDArray[np.float32]:
        """Image embeddings of unit length, (N, F)."""
        pixels = self._processor.image_processor([p.convert("RGB") for p in pictures], return_tensors="pt").pixel_values
        output = self._model.vision_model(pixels.to(self._model.device, self._model.dtype)).pooler_output
        return _unit(self._model.visual_projection(output))

    @torch.no_grad()
    def scores(self, features: NDArray[np.float32], prompts: list[str]) -> list[float]:
        """100 x cosine of each picture's features and its prompt, at least 0 (Hessel et al., arXiv 2104.08718)."""
        options = {"padding": True, "truncation": True, "return_tensors": "pt"}
        tokens = self._processor.tokenizer(prompts, **options).to(self._model.device)
        output = self._model.text_model(**tokens).pooler_output
        texts = _unit(self._model.text_projection(output))
        return (100 * (features * texts).sum(1)).clip(0).tolist()


def _unit(features: torch.Tensor) -> NDArray[np.float32]:
    return (features / features.norm(dim=-1, keepdim=True)).float().cpu().numpy()
