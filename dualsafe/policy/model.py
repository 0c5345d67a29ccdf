"""A policy: what is unsafe, what may stand in for it, and what only reads like it."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator

from ..errors import PolicyError
from ..strict import Strict, in_words, read_yaml

REACH = 12
"""Words within which company counts."""


def _plain(term: str) -> str:
    """A term as it is matched: lower case, single spaces."""
    plain = " ".join(term.lower().split())
    if not any(c.isalnum() for c in plain):
        raise ValueError(f"{term!r} has no letter or digit")
    return plain


def _later(default: Any) -> Any:
    """A field that the hash leaves out where it is not used, so that policies from before it keep theirs."""
    return Field(default, exclude_if=lambda value: value == default)


Term = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_plain)]


class Concept(Strict):
    """An unsafe concept.

    Attributes:
        term: the main word or phrase.
        synonyms: other words and phrases for it; plurals and possessives of all are found by themselves.
        counterpart: the safe word or phrase that takes its place; null removes it.
        verb: whether its words are verbs, in the infinitive without "to": found in all forms, and the counterpart,
            a verb too, takes the same form.
    """

    term: Term
    synonyms: tuple[Term, ...] = ()
    counterpart: str | None
    verb: bool = _later(False)

    @property
    def terms(self) -> tuple[str, ...]:
        return (self.term, *self.synonyms)


class Company(Strict):
    """Company in which terms are harmless, a knife's in a kitchen: unless something else unsafe stands in the prompt.

    Attributes:
        terms: terms of the category; empty for all of them.
        beside: words and phrases, one of which stands in the same prompt, at most `REACH` words away.
    """

    terms: tuple[Term, ...] = ()
    beside: tuple[Term, ...] = Field(min_length=1)


class Category(Strict):
    """A kind of harm.

    Attributes:
        description: what it covers, in a sentence.
        level: safety level in [0, 1] for prompts of this category, instead of the dial's; null leaves it to the dial.
        block: refuse such prompts instead of making them safe.
        aim: what is added to a prompt whose words or picture show this ("fully clothed"); one that begins with "with "
            names a thing in place of one that only the picture shows, so words, which have counterparts, do not get it.
        concepts: what is unsafe about it.
        exceptions: benign words and phrases that contain one of its terms ("water gun").
        loose: what says the harm only beside a concept of the category ("dead"): found together with one, never alone;
            a verb in its "-ing" or "-s" form beside a concept of any category.
        harmless: company in which its terms are harmless.
        shows: what is to be seen where it is drawn, as the watch asks for it; the main terms of its first two concepts
            where nothing is said.
        lookalikes: harmless things that look like that: the watch sets them against it.
    """

    description: str
    level: float | None = Field(None, ge=0, le=1)
    block: bool = False
    aim: str | None = Field(None, min_length=1, max_length=200)
    concepts: tuple[Concept, ...] = Field(min_length=1)
    exceptions: tuple[Term, ...] = ()
    loose: tuple[Concept, ...] = _later(())
    harmless: tuple[Company, ...] = _later(())
    shows: tuple[Term, ...] = _later(())
    lookalikes: tuple[Term, ...] = _later(())

    @model_validator(mode="after")
    def _company_is_of_its_terms(self) -> Category:
        terms = [term for concept in self.concepts for term in concept.terms]
        for term in (term for company in self.harmless for term in company.terms):
            if term not in terms:
                near = difflib.get_close_matches(term, terms, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"harmless has {term!r}, which is no term of the category{hint}")
        return self


class Policy(Strict):
    """A named set of categories.

    Attributes:
        id: short name, lower case.
        version: counts up with every change of meaning.
        languages: ISO 639-1 code -> a concept's main term -> words for it, in all forms in which they are to be found.
            With or without accents; of scripts without gaps between words, anywhere in the text.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    version: int = Field(ge=1)
    description: str
    categories: dict[str, Category] = Field(min_length=1)
    languages: dict[Annotated[str, Field(pattern=r"^[a-z]{2}$")], dict[Term, tuple[Term, ...]]] = _later({})

    @model_validator(mode="after")
    def _terms_are_unambiguous(self) -> Policy:
        owner: dict[tuple[str, bool], str] = {}
        for name, category in self.categories.items():
            for key in ((term, concept.verb) for concept in category.concepts for term in concept.terms):
                if key in owner:
                    raise ValueError(f"term {key[0]!r} stands in {owner[key]!r} and again in {name!r}")
                owner[key] = name
        mains = [concept.term for category in self.categories.values() for concept in category.concepts]
        for language, words in self.languages.items():
            for term in words:
                if term not in mains:
                    near = difflib.get_close_matches(term, mains, n=1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise ValueError(f"languages.{language} has {term!r}, which is no concept's main term{hint}")
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
            raise PolicyError(f"policy {source}: {in_words(error, Policy, Category, Concept, Company)}") from error
