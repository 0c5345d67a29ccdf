"""A safe condition aimed at what a judge saw, for pictures whose prompt named nothing unsafe or was not heeded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..policy import Policy, with_article
from .decide import Decision, Gate


def aimed(decision: Decision, texts: dict[str, str], seen: Iterable[str], policy: Policy, gate: Gate) -> Decision:
    """The decision with a safe branch that is told what to show in place of what was seen.

    Args:
        decision: what the prompt alone led to.
        texts: argument name -> the prompt's texts.
        seen: what the judge saw: terms or category names of the policy; others are passed over.
        gate: what decides now.
    """
    seen = tuple(seen)
    categories = _categories(seen, policy)
    aims = [aim for name in categories or policy.categories if (aim := policy.categories[name].aim)]
    aims = aims or _counterparts(seen, policy)
    others = [category.aim for category in policy.categories.values() if category.aim]
    base = decision.safe_texts or texts
    safe = {name: _told(text, aims, others) for name, text in base.items()}
    found = dict.fromkeys([*decision.categories, *categories])
    return replace(decision, kind="dual", gate=gate, safe_texts=safe, categories=tuple(found))


def _counterparts(seen: Iterable[str], policy: Policy) -> list[str]:
    """For a policy whose categories have no aims: the counterparts of the concepts that were seen."""
    concepts = [concept for category in policy.categories.values() for concept in category.concepts]
    return [
        f"with {with_article(c.counterpart)}" for name in seen for c in concepts if name in c.terms and c.counterpart
    ]


def _told(text: str, aims: Iterable[str], others: Iterable[str]) -> str:
    """The text with all of the aims; with the first of the others that it lacks, where it says all of them already."""
    missing = [aim for aim in dict.fromkeys(aims) if aim not in text] or [aim for aim in others if aim not in text][:1]
    for aim in missing:
        text = f"{text} {aim}" if aim.startswith("with ") else f"{text}, {aim}"
    return text.strip(" ,")


def _categories(seen: Iterable[str], policy: Policy) -> tuple[str, ...]:
    """The policy's categories that what was seen belongs to."""
    found = []
    for name in seen:
        for category, content in policy.categories.items():
            if name == category or any(name in concept.terms for concept in content.concepts):
                found.append(category)
    return tuple(dict.fromkeys(found))
