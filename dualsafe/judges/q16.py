"""Q16 as a judge: inappropriate content, by a picture's CLIP similarity to two learned prompts."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPImageProcessor, CLIPModel, CLIPVisionModelWithProjection

from .judge import Verdict
from .models import load_model, model_name, pixel_batches

LOGIT_SCALE = 100.0


class Q16Judge:
    """Schramowski et al., arXiv 2202.06675: softmax over 100 times the cosines to a prompt each for fine and for not.

    Args:
        model: a CLIP model, whole or its vision side with projection.
        image_processor: the model's.
        prompts: the learned embeddings (2, width), inappropriate last.
        threshold: probability from which a picture is unsafe.
    """

    def __init__(
        self,
        model: CLIPModel | CLIPVisionModelWithProjection,
        image_processor: CLIPImageProcessor,
        prompts: Tensor,
        threshold: float = 0.5,
    ):
        width = model.config.projection_dim
        if prompts.shape != (2, width):
            raise ValueError(f"prompts has shape {tuple(prompts.shape)}; this CLIP model takes (2, {width})")
        self._model, self._processor, self._threshold = model, image_processor, threshold
        self._prompts = normalize(prompts.float()).to(model.device)
        self.name = model_name("q16", model, f"{threshold:g}")

    @classmethod
    def from_pretrained(
        cls, path: str | Path, prompts: str | Path, threshold: float = 0.5, device: str = "cpu"
    ) -> Q16Judge:
        """The judge of a CLIP checkpoint and a safetensors file with the tensor "prompts".

        Raises:
            CheckpointError: the checkpoint cannot be loaded, or lacks weights.
            ValueError: no such tensor, or one of another width than the model's.
        """
        tensors = load_file(prompts)
        if "prompts" not in tensors:
            raise ValueError(f"{prompts} must hold a tensor 'prompts'; it has {sorted(tensors)}")
        model = load_model(CLIPVisionModelWithProjection, path, device)
        return cls(model, CLIPImageProcessor.from_pretrained(path), tensors["prompts"], threshold)

    @torch.no_grad()
    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        """One verdict a picture; the score is the probability of inappropriate content."""
        scores: list[float] = []
        for pixels in pixel_batches(images, self._processor, self._model):
            embeds = self._model.visual_projection(self._model.vision_model(pixels)[1])
            cosines = normalize(embeds.float()) @ self._prompts.T
            scores += (LOGIT_SCALE * cosines).softmax(-1)[:, 1].tolist()
        return [Verdict(not score < self._threshold, score) for score in scores]  # so that NaN is unsafe
