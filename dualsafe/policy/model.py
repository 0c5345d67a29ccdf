"""A policy: what is unsafe, what may stand in for it, and what only reads like it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator

from ..errors import PolicyError
from ..strict import Strict, in_words, read_yaml


def _plain(term: str) -> str:
    """A term as it is matched: lower case, single spaces."""
    plain = " ".join(term.lower().split())
    if not any(c.isalnum() for c in plain):
        raise ValueError(f"{term!r} has no letter or digit")
    return plain


Term = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_plain)]


class Concept(Strict):
    """An unsafe concept.

    Attributes:
        term: the main word or phrase.
        synonyms: other words and phrases for it; plurals and possessives of all are found by themselves.
        counterpart: the safe word or phrase that takes its place; null removes it.
    """

    term: Term
    synonyms: tuple[Term, ...] = ()
    counterpart: str | None

    @property
    def terms(self) -> tuple[str, ...]:
        return (self.term, *self.synonyms)


class Category(Strict):
    """A kind of harm.

    Attributes:
        description: what it covers, in a sentence.
        level: safety level in [0, 1] for prompts of this category, instead of the dial's; null leaves it to the dial.
        block: refuse such prompts instead of making them safe.
        aim: what is added to a prompt whose picture, not whose words, turned out to show this ("fully clothed").
        concepts: what is unsafe about it.
        exceptions: benign words and phrases that contain one of its terms ("water gun").
    """

    description: str
    level: float | None = Field(None, ge=0, le=1)
    block: bool = False
    aim: str | None = Field(None, min_length=1, max_length=200)
    concepts: tuple[Concept, ...] = Field(min_length=1)
    exceptions: tuple[Term, ...] = ()


class Policy(Strict):
    """A named set of categories.

    Attributes:
        id: short name, lower case.
        version: counts up with every change of meaning.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    version: int = Field(ge=1)
    description: str
    categories: dict[str, Category] = Field(min_length=1)

    @model_validator(mode="after")
    def _terms_are_unambiguous(self) -> Policy:
        owner: dict[str, str] = {}
        for name, category in self.categories.items():
            for term in (term for concept in category.concepts for term in concept.terms):
                if term in owner:
                    raise ValueError(f"term {term!r} stands in {owner[term]!r} and again in {name!r}")
                owner[term] = name
        return self

    def __hash__(self) -> int:
        return hash((self.id, self.version))

    @property
    def hash(self) -> str:
        """The first 16 hex digits of the content's SHA-256: what was in force when a picture was made."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    @classmethod
    def from_file(cls, path: str | Path) -> Policy:
        """Reads a YAML file.

        Raises:
            PolicyError: missing, too large, not YAML, with aliases or tags, or not a policy; names file and place.
        """
        return cls.from_data(read_yaml(Path(path), "policy", PolicyError), str(path))

    @classmethod
    def from_data(cls, data: Any, source: str) -> Policy:
        """Checks plain data, as from YAML or JSON; `source` is what errors call it.

        Raises:
            PolicyError: unknown keys (with a suggestion), missing or wrong values.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise PolicyError(f"policy {source}: {in_words(error, Policy, Category, Concept)}") from error
