"""A policy as a table of terms and counterparts, and the rewriting of a prompt by it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import yaml


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


@dataclass(frozen=True)
class Concept:
    """An unsafe concept: its terms (main word first) and its safe counterpart, None for removal."""

    category: str
    terms: tuple[str, ...]
    counterpart: str | None


@dataclass(frozen=True)
class Policy:
    """Unsafe concepts and the exceptions that merely read like them."""

    id: str
    concepts: tuple[Concept, ...]
    exceptions: tuple[str, ...]

    @classmethod
    def from_file(cls, path: Path) -> Policy:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        concepts = tuple(
            Concept(category, (entry["term"], *entry["synonyms"]), entry["counterpart"])
            for category, body in data["categories"].items()
            for entry in body["concepts"]
        )
        return cls(data["id"], concepts, tuple(data["exceptions"]))

    @cached_property
    def _by_term(self) -> dict[str, Concept]:
        return {term: concept for concept in self.concepts for term in concept.terms}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted((*self._by_term, *self.exceptions), key=len, reverse=True)
        words = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in longest_first)
        joint = r"(?P<joint>(?:\b(?:with|holding|carrying|covered\s+in|next\s+to|and)\s+)?)"
        return re.compile(rf"{joint}(?P<article>(?:\b(?:an?|the)\s+)?)\b(?P<term>{words})\b", re.IGNORECASE)

    def rewrite(self, prompt: str) -> Rewrite:
        """Replaces every unsafe term by its counterpart, or removes it together with the words that attach it."""
        triggers: list[Trigger] = []

        def swap(match: re.Match[str]) -> str:
            concept = self._by_term.get(" ".join(match["term"].lower().split()))
            if concept is None:
                return match[0]
            triggers.append(
                Trigger(match["term"], match.start("term"), match.end("term"), concept.category, concept.counterpart)
            )
            if concept.counterpart is None:
                return ""
            return f"{match['joint']}{_article(match['article'], concept.counterpart)}{concept.counterpart}"

        text = self._pattern.sub(swap, prompt)
        return Rewrite(_tidy(text) if triggers else prompt, tuple(triggers))


def _article(written: str, noun: str) -> str:
    """The article of `noun`: "the" stays, "a", "an" and none (before a mass noun) become "a" or "an"."""
    if written.strip().lower() == "the":
        return written
    return "an " if noun[0] in "aeiou" else "a "


def _tidy(text: str) -> str:
    return re.sub(r"\s+([,.;])", r"\1", " ".join(text.split())).strip(" ,;")


@lru_cache
def builtin(name: str) -> Policy:
    """A policy that ships with the library, by its name."""
    return Policy.from_file(Path(__file__).parent / f"{name}.yaml")
