"""What a safety method is to the benchmark: prompts and seeds in, pictures and their cost out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol

from PIL import Image

from ..pipelines import SafetyReport
from ..pipelines.dual import DualLatentMixin
from ..policy import Policy


@dataclass(frozen=True)
class Drawn:
    """One batch of pictures.

    Attributes:
        images: one a prompt.
        rows: denoiser rows spent on each.
        masks: where each may differ from the stock picture; None where the method knows no mask.
        reports: how each came about, for methods that report.
        editing: seconds that it took to edit the model before the first picture; None where none is edited.
    """

    images: list[Image.Image]
    rows: list[int]
    masks: list[Image.Image | None]
    reports: list[SafetyReport | None]
    editing: float | None = None


class SafetyMethod(Protocol):
    """Draws prompts safely; picture i starts from what the stock pipeline draws from a CPU generator of seed i."""

    @property
    def name(self) -> str:
        """What it is asked for by, and reported as."""

    def generate(
        self, pipe: DualLatentMixin, prompts: list[str], seeds: list[int], policy: Policy, **sampling: Any
    ) -> Drawn:
        """
        Args:
            pipe: the checkpoint; a method may put stand-ins in it for the time of the call and leaves it as it was.
            policy: what is unsafe: every method is told the same.
            **sampling: arguments of the stock call (`num_inference_steps`, `guidance_scale`, `height`, `width`).

        Raises:
            PolicyViolation: a prompt asks for what is never generated.
            ValueError: the method does not work on this checkpoint.
        """


def concepts(policy: Policy) -> list[str]:
    """The policy's main terms, one of each category after the other: what the baselines are told to avoid."""
    terms = [[concept.term for concept in category.concepts] for category in policy.categories.values()]
    return [term for turn in zip_longest(*terms) for term in turn if term is not None]


def concept_text(pipe: DualLatentMixin, policy: Policy) -> str:
    """As many of `concepts` as the text encoder takes, in a row; what does not fit would be cut without a word."""
    return _fitted(pipe, concepts(policy))


def category_texts(pipe: DualLatentMixin, policy: Policy) -> list[str]:
    """The same for each category by itself."""
    return [_fitted(pipe, [concept.term for concept in each.concepts]) for each in policy.categories.values()]


def _fitted(pipe: DualLatentMixin, terms: list[str]) -> str:
    length, terms = pipe.tokenizer.model_max_length, list(terms)
    while len(terms) > 1 and len(pipe.tokenizer(", ".join(terms)).input_ids) > length:
        terms.pop()
    return ", ".join(terms)
