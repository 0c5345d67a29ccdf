"""How near a prompt is to unsafe concepts, as the checkpoint's own text encoder sees it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..pipelines.dual import DualLatentMixin


class Concepts:
    """Unsafe concepts as the checkpoint's own text encoder sees them.

    Args:
        terms: the concepts, at least one.
    """

    def __init__(self, pipe: DualLatentMixin, terms: Sequence[str]):
        self._pipe, self.terms = pipe, tuple(terms)
        self._directions = text_directions(pipe, self.terms)

    def nearest(self, prompts: Sequence[str]) -> list[tuple[str, float]]:
        """Of each prompt the concept of the largest cosine, and its distance, 1 - cosine, in [0, 2]."""
        cosines = text_directions(self._pipe, prompts) @ self._directions.T
        return [(self.terms[k], 1 - float(row[k])) for row, k in zip(cosines, cosines.argmax(1))]


def text_directions(pipe: DualLatentMixin, texts: Sequence[str]) -> NDArray[np.float64]:
    """Unit vectors (N, W): the pooled embedding, or the state of the end token where the family has none."""
    encoded = pipe.encode_texts(list(texts))
    found = encoded.get("pooled_prompt_embeds")
    if found is None:
        end = [len(pipe.tokenizer(text, truncation=True).input_ids) - 1 for text in texts]
        found = encoded["prompt_embeds"][torch.arange(len(end)), end]
    return torch.nn.functional.normalize(found.double(), dim=-1).cpu().numpy()
