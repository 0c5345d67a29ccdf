"""Zero-shot CLIP as a judge: what a policy names, against what may stand in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPModel, CLIPProcessor

from ..policy import Policy
from .judge import Verdict
from .models import load_model, model_name, pixel_batches

TEMPLATE = "a picture of {}"
NEUTRAL = ("a picture",)


class ClipJudge:
    """Judges by the summed probability of a policy's concepts, in a softmax over texts at CLIP's own scale.

    Unsafe texts are the concepts' main terms; safe ones the counterparts, the lookalikes, the aims and the
    neutral texts.

    Args:
        model, processor: the checkpoint's.
        policy: what is unsafe.
        neutral: texts that fit a picture of anything else.
        threshold: probability from which a picture is unsafe.
    """

    def __init__(
        self,
        model: CLIPModel,
        processor: Any,
        policy: Policy,
        neutral: tuple[str, ...] = NEUTRAL,
        threshold: float = 0.5,
    ):
        self._model, self._processor, self._threshold = model, processor, threshold
        self._categories = list(policy.categories)
        unsafe = [[TEMPLATE.format(c.term) for c in category.concepts] for category in policy.categories.values()]
        texts = [text for group in unsafe for text in group] + [*_safe_texts(policy), *neutral]
        self._columns = [i for i, group in enumerate(unsafe) for _ in group]
        self._texts = text_embeds(model, processor.tokenizer, texts)
        self.name = model_name("clip", model, f"{policy.id}-{threshold:g}")

    @classmethod
    def from_pretrained(
        cls, path: str | Path, policy: Policy, threshold: float = 0.5, device: str = "cpu"
    ) -> ClipJudge:
        """The judge of a CLIP checkpoint in transformers' layout.

        Raises:
            CheckpointError: it cannot be loaded, or lacks weights.
        """
        model = load_model(CLIPModel, path, device)
        return cls(model, CLIPProcessor.from_pretrained(path), policy, threshold=threshold)

    @torch.no_grad()
    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        """One verdict a picture; the likeliest category is named as the concept seen."""
        found, columns = [], torch.tensor(self._columns)
        scale = self._model.logit_scale.exp().float()
        for pixels in pixel_batches(images, self._processor.image_processor, self._model):
            shares = (scale * picture_embeds(self._model, pixels) @ self._texts.T).softmax(-1)[:, : len(columns)].cpu()
            by_category = torch.zeros(len(shares), len(self._categories)).index_add_(1, columns, shares)
            for score, best in zip(shares.sum(-1).tolist(), by_category.argmax(-1).tolist()):
                is_unsafe = not score < self._threshold  # so that NaN is unsafe
                found.append(Verdict(is_unsafe, score, (self._categories[best],) if is_unsafe else ()))
        return found


@torch.no_grad()
def picture_embeds(model: CLIPModel, pixels: Tensor) -> Tensor:
    """Embeddings (N, F) of unit length."""
    return normalize(model.visual_projection(model.vision_model(pixels).pooler_output).float())


@torch.no_grad()
def text_embeds(model: CLIPModel, tokenizer: Any, texts: list[str]) -> Tensor:
    """Embeddings (N, F) of unit length; a text that is too long is cut."""
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(model.device)
    return normalize(model.text_projection(model.text_model(**tokens).pooler_output).float())


def _safe_texts(policy: Policy) -> list[str]:
    categories = policy.categories.values()
    nouns = [c.counterpart for category in categories for c in category.concepts if c.counterpart]
    nouns += [thing for category in categories for thing in category.lookalikes]  # exceptions name the concept itself
    aims = [category.aim for category in categories if category.aim]
    return list(dict.fromkeys([*map(TEMPLATE.format, nouns), *aims]))
