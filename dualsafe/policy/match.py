"""Finds a policy's terms in a prompt, disguised ones too."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from .fold import fold
from .model import Concept, Policy

_LEET = {
    "a": "a4@",
    "b": "b8",
    "e": "e3",
    "g": "g9",
    "i": "i1!|",
    "l": "l1|",
    "o": "o0",
    "s": "s5$",
    "t": "t7",
    "u": "uv",
    "z": "z2",
}
_GAP = r"[\s.\-_*~'+/]"


@dataclass(frozen=True)
class Match:
    """A term found in a prompt.

    Attributes:
        start, end: its place in the prompt, in characters.
        category: name of the policy category.
        concept: what it means.
    """

    start: int
    end: int
    category: str
    concept: Concept


def _word(word: str) -> str:
    """A pattern for one word: as it is, in leetspeak, or with a gap after every letter."""
    classes = [f"[{re.escape(_LEET[c])}]" if c in _LEET else re.escape(c) for c in word]
    whole = "".join(classes)
    return f"(?:{whole}|{f'{_GAP}{{1,2}}'.join(classes)})" if len(word) > 2 else whole


def _phrase(term: str) -> str:
    """A pattern for a term with its plural or possessive."""
    words = rf"{_GAP}{{1,4}}".join(_word(word) for word in term.split())
    return rf"{words}(?:'?s|es)?"


@lru_cache(maxsize=32)
def _compiled(policy: Policy) -> tuple[re.Pattern[str], dict[str, tuple[str, Concept | None]]]:
    """One pattern for all terms and exceptions, longest first, and what each group name stands for."""
    entries: list[tuple[str, str, Concept | None]] = []
    for name, category in policy.categories.items():
        entries += [(term, name, concept) for concept in category.concepts for term in concept.terms]
        entries += [(term, name, None) for term in category.exceptions]
    entries.sort(key=lambda entry: (-len(entry[0]), entry[2] is not None))
    meaning = {f"t{i}": (name, concept) for i, (_, name, concept) in enumerate(entries)}
    pattern = "|".join(f"(?P<t{i}>{_phrase(term)})" for i, (term, _, _) in enumerate(entries))
    first = "".join(sorted({letter for term, _, _ in entries for letter in _LEET.get(term[0], term[0])}))
    # looking at the first letter only keeps text in other scripts, whose every letter may begin a word, fast
    return re.compile(rf"(?<![a-z0-9])(?=[{re.escape(first)}])(?:{pattern})(?![a-z0-9])"), meaning


def find(policy: Policy, prompt: str, tokens: Collection[str] = ()) -> list[Match]:
    """Every unsafe term of `policy` in `prompt`, in order; exceptions hide the terms inside them.

    Args:
        tokens: words that a text encoder has learned beside its own; a term that is only a part of one isn't meant.
    """
    folded = fold(prompt)
    words = _places(prompt, tokens)
    pattern, meaning = _compiled(policy)
    found = []
    for hit in pattern.finditer(folded.text):
        name, concept = meaning[hit.lastgroup or ""]
        if concept is not None:
            start, end = folded.span(*hit.span())
            if not any(a <= start and end <= b and (start, end) != (a, b) for a, b in words):
                found.append(Match(start, end, name, concept))
    return found


def _places(prompt: str, tokens: Collection[str]) -> list[tuple[int, int]]:
    """Where the tokens stand in a prompt, each (start, end) in characters."""
    there = sorted((token for token in tokens if token and token in prompt), key=len, reverse=True)
    return [hit.span() for hit in re.finditer("|".join(map(re.escape, there)), prompt)] if there else []
