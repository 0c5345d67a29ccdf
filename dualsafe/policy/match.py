"""Finds a policy's terms in a prompt, disguised ones too, but for those that ask for nothing unsafe there."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from .english import Form, forms
from .lexicon import Found, Lexicon
from .model import REACH, Concept, Policy
from .spelling import SHORTEST

_NETWORK = re.compile(r"<\w+:[^<>]*>")  # <lora:name:0.8> names a file
_ABSENT = re.compile(  # what stands before a thing that is said not to be there
    r"(?:\b(?:no|without|never|zero|neither|nor|free (?:of|from))|\b(?:not|n't|isn't|aren't)(?! (?:only|just|merely))"
    r"|\b(?:anti|non))"
    r"[ \-]+(?:(?:a|an|any|the|visible|explicit|single|more|signs? of|trace of|depiction of|being)[ ]+)*$"
)
_OR = re.compile(r"(?: |, |,? (?:or|nor) |/)$")
_WINDOW = 64  # characters before a term that say whether it is there


@dataclass(frozen=True)
class Match:
    """A term found in a prompt.

    Attributes:
        start, end: its place in the prompt, in characters.
        category: name of the policy category.
        concept: what it means.
        form: the form in which it stands there, for its counterpart to take.
        loose: whether it counts beside another one only.
    """

    start: int
    end: int
    category: str
    concept: Concept
    form: Form = ""
    loose: bool = False


@dataclass(frozen=True)
class _Entry:
    category: str
    concept: Concept | None
    term: str
    form: Form = ""
    loose: bool = False


@lru_cache(maxsize=32)
def _lexicon(policy: Policy) -> Lexicon[tuple[_Entry, ...]]:
    """What each phrase is: one term or exception, or what it loosely is, by category."""
    terms: dict[str, _Entry] = {}
    loose: dict[str, dict[str, _Entry]] = {}
    for name, category in policy.categories.items():
        for phrase, entry in _entries(name, category.concepts):
            if phrase not in terms or phrase == entry.term:
                terms[phrase] = entry
        for phrase, entry in _entries(name, category.loose, loose=True):
            options = loose.setdefault(phrase, {})
            if name not in options or phrase == entry.term:
                options[name] = entry
    misspelt = [phrase for phrase, entry in terms.items() if len(entry.term) >= SHORTEST]
    mains = {c.term: (name, c) for name, category in policy.categories.items() for c in category.concepts}
    for words in policy.languages.values():
        for term, others in words.items():
            for phrase in (way for other in others for way in _ways(other)):
                terms.setdefault(phrase, _Entry(mains[term][0], mains[term][1], term))
    for name, category in policy.categories.items():
        terms |= {
            phrase: _Entry(name, None, term) for term in category.exceptions for phrase in forms(term, verb=False)
        }
    phrases = {phrase: tuple(options.values()) for phrase, options in loose.items()}
    phrases |= {phrase: (entry,) for phrase, entry in terms.items()}
    return Lexicon(phrases, misspelt, lambda entries: entries[0].concept is not None and not entries[0].loose)


def _entries(name: str, concepts: Iterable[Concept], loose: bool = False) -> Iterator[tuple[str, _Entry]]:
    for concept in sorted(concepts, key=lambda concept: not concept.verb):  # of "murder" both ways the noun
        for term in concept.terms:
            for phrase, form in forms(term, concept.verb).items():
                yield phrase, _Entry(name, concept, term, form, loose)


def _ways(word: str) -> set[str]:
    """A word of another language as it is written without its keyboard."""
    plain = word
    for letter, letters in (("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("ß", "ss")):
        plain = plain.replace(letter, letters)
    return {word, plain}


@lru_cache(maxsize=32)
def _company(policy: Policy) -> dict[str, list[tuple[frozenset[str], Lexicon[None]]]]:
    """Category -> the terms (none for all) of each company, and what it is."""
    return {
        name: [
            (frozenset(c.terms), Lexicon({p: None for word in c.beside for p in forms(word, verb=False)}))
            for c in category.harmless
        ]
        for name, category in policy.categories.items()
    }


def find(policy: Policy, prompt: str, tokens: Collection[str] = ()) -> list[Match]:
    """Every unsafe term of `policy` in `prompt`, in order.

    Exceptions hide the terms inside them. Loose forms count beside a term of their category; a verb that says what is
    done ("beating") beside any. A term that is said not to be there ("no blood") is not found, nor where all
    that is found keeps harmless company.

    Args:
        tokens: words that a text encoder has learned beside its own; a term that is only a part of one is not meant.
    """
    found = _lexicon(policy).find(prompt)
    if not any(_is_term(each) for each in found):
        return []
    whole = [*_places(prompt, tokens), *(hit.span() for hit in _NETWORK.finditer(prompt))]
    there = list(_there(prompt.lower(), [each for each in found if not _inside(each, whole)]))
    terms = [each for each in there if _is_term(each)]
    if all(_is_harmless(policy, prompt, each) for each in terms):
        return []
    categories = [each.meaning[0].category for each in terms]
    matches = []
    for each in there:
        done = (entry for entry in each.meaning if entry.concept and entry.form in ("VBG", "VBZ"))
        entry = next((entry for entry in each.meaning if entry.category in categories), next(done, None))
        if entry is not None and entry.concept is not None:
            category = entry.category if entry.category in categories else categories[0]
            matches.append(Match(each.start, each.end, category, entry.concept, entry.form, entry.loose))
    return matches


def _is_term(found: Found[tuple[_Entry, ...]]) -> bool:
    return found.meaning[0].concept is not None and not found.meaning[0].loose


def _inside(found: Found[tuple[_Entry, ...]], whole: list[tuple[int, int]]) -> bool:
    place = (found.start, found.end)
    return any(a <= found.start and found.end <= b and place != (a, b) for a, b in whole)


def _there(low: str, found: list[Found[tuple[_Entry, ...]]]) -> Iterator[Found[tuple[_Entry, ...]]]:
    """Those that are not exceptions, nor said not to be there; "no blood or guns" says so of both."""
    absent_to = -1
    for each in found:
        before = low[max(0, each.start - _WINDOW) : each.start]
        also = absent_to >= 0 and _OR.fullmatch(low[absent_to : each.start]) is not None
        free = re.match(r"[ -]free\b", low[each.end : each.end + 6]) is not None
        if free or also or _ABSENT.search(before):
            absent_to = each.end
        elif each.meaning[0].concept is not None:
            yield each


def _is_harmless(policy: Policy, prompt: str, found: Found[tuple[_Entry, ...]]) -> bool:
    before, after = prompt[: found.start].split(" ")[-REACH:], prompt[found.end :].split(" ")[:REACH]
    around = f"{' '.join(before)}\n{' '.join(after)}"
    entry = found.meaning[0]
    return any(
        (not terms or entry.term in terms) and beside.find(around) for terms, beside in _company(policy)[entry.category]
    )


def _places(prompt: str, tokens: Collection[str]) -> list[tuple[int, int]]:
    """Where the tokens stand in a prompt, each (start, end) in characters."""
    there = sorted((token for token in tokens if token and token in prompt), key=len, reverse=True)
    return [hit.span() for hit in re.finditer("|".join(map(re.escape, there)), prompt)] if there else []
