"""Policies that take concepts from another one, so that words are written once."""

from __future__ import annotations

import difflib
from typing import Any

from ..errors import PolicyError
from .model import Category, Policy


def shared(data: dict[str, Any], base: Policy, source: str) -> dict[str, Any]:
    """Plain data in which a concept that is only named is `base`'s, with its exceptions, company and translations.

    Raises:
        PolicyError: a name that `base` has not.
    """
    categories, taken = {}, set()
    for name, category in data["categories"].items():
        found: dict[str, Category] = {}
        full = {kind: [_concept(each, kind, base, source, found) for each in category.get(kind, [])] for kind in _KINDS}
        terms = {term for concept in full["concepts"] for term in (concept["term"], *concept.get("synonyms", ()))}
        taken |= {concept["term"] for concept in full["concepts"]}
        own = category.get("harmless", [])
        company = [c.model_dump() for other in found.values() for c in other.harmless]
        company = [
            c | {"terms": [t for t in c["terms"] if t in terms]}
            for c in company
            if not c["terms"] or terms & {*c["terms"]}
        ]
        exceptions = dict.fromkeys(
            [*category.get("exceptions", []), *(e for other in found.values() for e in other.exceptions)]
        )
        categories[name] = category | full | {"harmless": [*own, *company], "exceptions": list(exceptions)}
    languages = {
        code: {term: ways for term, ways in words.items() if term in taken} for code, words in base.languages.items()
    }
    return {key: value for key, value in data.items() if key != "base"} | {
        "categories": categories,
        "languages": languages,
    }


_KINDS = ("concepts", "loose")


def _concept(each: Any, kind: str, base: Policy, source: str, found: dict[str, Category]) -> Any:
    if not isinstance(each, str):
        return each
    names = [concept.term for category in base.categories.values() for concept in getattr(category, kind)]
    for name, category in base.categories.items():
        for concept in getattr(category, kind):
            if concept.term == each:
                if kind == "concepts":
                    found[name] = category
                return concept.model_dump()
    near = difflib.get_close_matches(each, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise PolicyError(f"policy {source}: {kind} has {each!r}, which {base.id!r} has not{hint}")
