"""Any image classifier of transformers as a judge."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

from .judge import Verdict
from .models import load_model, model_name, pixel_batches


class ClassifierJudge:
    """Judges by the summed probability of a classifier's unsafe labels.

    Args:
        model: an image classifier whose labels exclude each other.
        image_processor: the model's.
        unsafe_labels: which of `model.config.id2label` are unsafe: ["nsfw"].
        threshold: probability from which a picture is unsafe.

    Raises:
        ValueError: a label that the model does not have, or none.
    """

    def __init__(self, model: Any, image_processor: Any, unsafe_labels: Iterable[str], threshold: float = 0.5):
        self._labels, wanted = model.config.id2label, set(unsafe_labels)
        if not wanted or not wanted <= set(self._labels.values()):
            raise ValueError(f"unsafe_labels={sorted(wanted)} must be some of {list(self._labels.values())}")
        self._columns = [i for i, label in self._labels.items() if label in wanted]
        self._model, self._processor, self._threshold = model, image_processor, threshold
        self.name = model_name("classifier", model, f"{threshold:g}")

    @classmethod
    def from_pretrained(
        cls, path: str | Path, unsafe_labels: Iterable[str], threshold: float = 0.5, device: str = "cpu"
    ) -> ClassifierJudge:
        """The judge of a checkpoint in transformers' layout.

        Raises:
            CheckpointError: it cannot be loaded, or lacks weights.
        """
        model = load_model(AutoModelForImageClassification, path, device)
        return cls(model, AutoImageProcessor.from_pretrained(path), unsafe_labels, threshold)

    @torch.no_grad()
    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        """One verdict a picture; the likeliest unsafe label is named as the concept seen."""
        found = []
        for pixels in pixel_batches(images, self._processor, self._model):
            unsafe = self._model(pixels).logits.float().softmax(-1)[:, self._columns]
            for score, best in zip(unsafe.sum(-1).tolist(), unsafe.argmax(-1).tolist()):
                is_unsafe = not score < self._threshold  # so that NaN is unsafe
                found.append(Verdict(is_unsafe, score, (self._labels[self._columns[best]],) if is_unsafe else ()))
        return found
