"""A policy: what is unsafe, what may stand in for it, and what only reads like it."""

from __future__ import annotations

import difflib
import hashlib
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import PolicyError

MAX_BYTES = 1_000_000


def _plain(term: str) -> str:
    """A term as it is matched: lower case, single spaces."""
    plain = " ".join(term.lower().split())
    if not any(c.isalnum() for c in plain):
        raise ValueError(f"{term!r} has no letter or digit")
    return plain


Term = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_plain)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Concept(_Strict):
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


class Category(_Strict):
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


class Policy(_Strict):
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
        path = Path(path)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise PolicyError(f"policy {path} has over {MAX_BYTES} bytes")
            data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        except OSError as error:
            raise PolicyError(f"policy {path} can't be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise PolicyError(f"policy {path} is not UTF-8 text") from error
        except (yaml.YAMLError, RecursionError) as error:
            raise PolicyError(f"policy {path} is not plain YAML: {' '.join(str(error).split())}") from error
        return cls.from_data(data, str(path))

    @classmethod
    def from_data(cls, data: Any, source: str) -> Policy:
        """Checks plain data, as from YAML or JSON; `source` is what errors call it.

        Raises:
            PolicyError: unknown keys (with a suggestion), missing or wrong values.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise PolicyError(f"policy {source}: " + "; ".join(_sentence(e) for e in error.errors()[:5])) from error


class _Loader(yaml.SafeLoader):
    """Plain data only: no aliases (which can blow up), no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases are not accepted")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if isinstance(key, (str, int)) and keys.count(key) > 1:
                raise yaml.YAMLError(f"key {key!r} stands twice")
        return super().construct_mapping(node, deep)


_KEYS = [*Policy.model_fields, *Category.model_fields, *Concept.model_fields]


def _sentence(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "the file"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _KEYS, n=1)
        return f"{place} is an unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    return f"{place}: {error['msg'].removeprefix('Value error, ')}"
