"""Sources of the safe branch that work on embeddings, for what no list of words names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..policy import Concept, Policy
from .decide import Decision
from .space import Encoded, shift_direction


@dataclass(frozen=True)
class Stream:
    """One text encoder's part of a family's embeddings.

    Attributes:
        encode: texts -> their tokens through this encoder.
        count: text -> its real tokens, with those of start and end.
        span: the part's rows of the embeddings, along the tokens.
    """

    encode: Callable[[list[str]], Encoded]
    count: Callable[[str], int]
    span: slice


class EmbeddingSource(Protocol):
    """Changes the tokens (T, W) of one safe text."""

    def __call__(self, tokens: Tensor, text: str, decision: Decision, policy: Policy, stream: Stream) -> Tensor: ...


def shift(tokens: Tensor, text: str, decision: Decision, policy: Policy, stream: Stream) -> Tensor:
    """A step from the policy's unsafe phrases to their safe counterparts, in proportion to the level."""
    concepts = _concepts(decision, policy)
    unsafe = stream.encode([concept.term for concept in concepts]).pooled
    safe = stream.encode([concept.counterpart or "" for concept in concepts]).pooled
    changed = tokens.clone()
    changed[1:] += decision.level * shift_direction(safe, unsafe).to(tokens)
    return changed


EMBEDDING_SOURCES: dict[str, EmbeddingSource] = {"shift": shift}
SOURCES: tuple[str, ...] = ("rewrite", *EMBEDDING_SOURCES, "negative")
"""Names of the sources; they compose, the text's first. "negative" adds the concepts to the safe branch's negative."""


def _concepts(decision: Decision, policy: Policy) -> list[Concept]:
    """The concepts of the categories that were found, or of all."""
    names = decision.categories or tuple(policy.categories)
    return [concept for name in names for concept in policy.categories[name].concepts]


def unwanted(decision: Decision, policy: Policy) -> str:
    """The concepts of a decision as a negative prompt."""
    return ", ".join(concept.term for concept in _concepts(decision, policy))


def apply(
    names: tuple[str, ...],
    embeds: Tensor,
    texts: list[str],
    decisions: list[Decision],
    policy: Policy,
    streams: list[Stream],
) -> Tensor:
    """The safe texts' embeddings (N, T, W) after the embedding sources among `names`, in that order."""
    changed = embeds.clone()
    for name in names:
        if name in EMBEDDING_SOURCES:
            for stream in streams:
                parts = [
                    EMBEDDING_SOURCES[name](tokens, text, decision, policy, stream)
                    for tokens, text, decision in zip(changed[:, stream.span], texts, decisions)
                ]
                changed[:, stream.span] = torch.stack(parts)
    return changed
