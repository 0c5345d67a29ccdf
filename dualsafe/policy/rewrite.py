"""A prompt without its unsafe terms: each replaced by its counterpart, or removed with the words that attach it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from .match import Match, find
from .model import Policy

_ARTICLE = re.compile(r"\b(an?|the)\s+$", re.IGNORECASE)
_REACH = 64  # characters before a term in which its article and joint are looked for, so that time stays linear
_JOINT = re.compile(r"\b(with|holding|carrying|wearing|covered\s+in|full\s+of|next\s+to|and|in|of)\s+$", re.IGNORECASE)


@dataclass(frozen=True)
class Trigger:
    """An unsafe term found in a prompt.

    Attributes:
        text: the term as the prompt writes it.
        start, end: its place in the prompt, in characters.
        category: the policy category it belongs to.
        counterpart: what stands in for it; None where it is removed.
    """

    text: str
    start: int
    end: int
    category: str
    counterpart: str | None


@dataclass(frozen=True)
class Rewrite:
    """A prompt without its unsafe terms; `text` equals the prompt where nothing was found."""

    text: str
    triggers: tuple[Trigger, ...]


def rewrite(policy: Policy, prompt: str, tokens: Collection[str] = ()) -> Rewrite:
    """Replaces or removes every unsafe term of `policy` in `prompt`, with articles and commas kept right.

    Args:
        tokens: words that a text encoder has learned beside its own, which stay whole.
    """
    matches = find(policy, prompt, tokens)
    text = prompt
    for match in reversed(matches):
        text = _without(text, match)
    triggers = tuple(
        Trigger(prompt[m.start : m.end], m.start, m.end, m.category, m.concept.counterpart) for m in matches
    )
    return Rewrite(_tidy(text) if triggers else prompt, triggers)


def with_article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _without(text: str, match: Match) -> str:
    start = max(0, match.start - _REACH)
    head, before, after = text[:start], text[start : match.start], text[match.end :]
    counterpart = match.concept.counterpart
    article = _ARTICLE.search(before)
    if article:
        before = before[: article.start()]
    if counterpart is None:
        joint = _JOINT.search(before)
        return head + (before[: joint.start()] if joint else before) + after
    if article and article[1].lower() == "the":
        return f"{head}{before}{article[1]} {counterpart}{after}"
    if article or _JOINT.search(before):
        counterpart = with_article(counterpart)
    return head + before + counterpart + after


def _tidy(text: str) -> str:
    spaced = re.sub(r"\s+([,.;])", r"\1", " ".join(text.split()))
    return re.sub(r"([,;])(\s*[,;])+", r"\1", spaced).strip(" ,;")
