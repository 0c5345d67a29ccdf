"""The texts that a picture in the making is compared with: a policy's concepts, and harmless things."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..policy import Category, Policy, with_article

HARMLESS: tuple[str, ...] = ("flower", "book", "umbrella", "apple", "ball")
"""What the concepts are set against, beside the policy's lookalikes and aims, and the empty text: everyday things."""

_A_CATEGORY = 2  # rows are what it costs: the first concepts of a category stand for all of them


@dataclass(frozen=True)
class Probes:
    """
    Attributes:
        texts: of the concepts; of everyday things; of the policy's lookalikes and aims, and the empty one.
        categories: the category of each concept.
        first: how many of the texts are asked of every picture; the rest, only where these leave a doubt.
    """

    texts: tuple[str, ...]
    categories: tuple[str, ...]
    first: int


def probes_of(policy: Policy, categories: Iterable[str] | None = None) -> Probes:
    """The probes of a policy's categories, of all by default: what each one shows, or its first two concepts."""
    names = tuple(policy.categories if categories is None else categories)
    concepts = [(term, name) for name in names for term in _shown(policy.categories[name])]
    harmless = dict.fromkeys([*HARMLESS, *(term for name in names for term in policy.categories[name].lookalikes)])
    texts = [f"a picture of {with_article(term)}" for term in (*(term for term, _ in concepts), *harmless)]
    aims = dict.fromkeys(policy.categories[name].aim for name in names)
    texts += [_showing(aim) for aim in aims if aim and not set(HARMLESS).intersection(aim.split())]
    return Probes((*texts, ""), tuple(name for _, name in concepts), len(concepts) + len(HARMLESS))


def _showing(aim: str) -> str:
    return f"a picture {aim}" if aim.startswith("with ") else f"a picture, {aim}"


def _shown(category: Category) -> tuple[str, ...]:
    return category.shows or tuple(concept.term for concept in category.concepts[:_A_CATEGORY])
