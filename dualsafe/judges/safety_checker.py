"""Stable Diffusion's own safety checker as a judge."""

from __future__ import annotations

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPImageProcessor

from .judge import Verdict


class SafetyCheckerJudge:
    """Judges by the safety checker of a checkpoint: sexual content, by CLIP similarity to fixed concepts.

    Args:
        safety_checker, feature_extractor: the checkpoint's components of those names.
    """

    def __init__(self, safety_checker: StableDiffusionSafetyChecker, feature_extractor: CLIPImageProcessor):
        self._checker, self._features = safety_checker, feature_extractor

    @torch.no_grad()
    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        """One verdict a picture."""
        pixels = self._features(images, return_tensors="pt").pixel_values
        pixels = pixels.to(self._checker.device, self._checker.dtype)
        blank = [np.zeros((1, 1, 3), np.float32) for _ in images]  # the checker blackens flagged pictures in place
        _, flagged = self._checker(images=blank, clip_input=pixels)
        return [Verdict(bool(f), concepts=("sexual",) if f else ()) for f in flagged]
