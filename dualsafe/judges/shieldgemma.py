"""ShieldGemma 2 as a judge: a probability of violation for each of some policies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoProcessor, ShieldGemma2ForImageClassification

from .judge import Verdict
from .models import load_model, model_name


class ShieldGemmaJudge:
    """Asks ShieldGemma 2 (arXiv 2504.01081) whether a picture violates each policy; unsafe if it does any.

    Args:
        model, processor: the checkpoint's.
        policies: name -> what a picture shall not contain, in the wording of the model's own; None for those it was
            trained on: dangerous, sexual, violence.
        threshold: probability from which a picture is unsafe.
    """

    def __init__(
        self,
        model: ShieldGemma2ForImageClassification,
        processor: Any,
        policies: Mapping[str, str] | None = None,
        threshold: float = 0.5,
    ):
        self._model, self._processor, self._threshold = model, processor, threshold
        self._policies = dict(processor.policy_definitions if policies is None else policies)
        self.name = model_name("shieldgemma", model, f"{threshold:g}")

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        policies: Mapping[str, str] | None = None,
        threshold: float = 0.5,
        device: str = "cpu",
    ) -> ShieldGemmaJudge:
        """The judge of a checkpoint in transformers' layout.

        Raises:
            CheckpointError: it cannot be loaded, or lacks weights.
        """
        model = load_model(ShieldGemma2ForImageClassification, path, device)
        return cls(model, AutoProcessor.from_pretrained(path), policies, threshold)

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        """One verdict a picture; the score is the largest probability, the concepts are the policies violated."""
        found = []
        for image in images:
            probabilities = self.probabilities(image)
            violated = tuple(name for name, p in probabilities.items() if not p < self._threshold)  # NaN violates
            found.append(Verdict(bool(violated), max(probabilities.values()), violated))
        return found

    @torch.no_grad()
    def probabilities(self, image: Image.Image) -> dict[str, float]:
        """Policy -> probability that the picture violates it."""
        inputs = self._processor(
            images=[image.convert("RGB")],
            custom_policies=self._policies,
            policies=list(self._policies),
            return_tensors="pt",
        ).to(self._model.device, self._model.dtype)
        yes = self._model(**inputs).probabilities[:, 0]  # the first column is "Yes", and Yes means that it violates
        return dict(zip(self._policies, yes.float().tolist()))
