"""English grammar, from libraries: forms of words, what kinds of words they are, and their articles."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from .spelling import frequency

Form = Literal["", "plural", "VBD", "VBG", "VBN", "VBZ"]
"""A form of a term: as it is, the plural of a noun, or a form of a verb by its Penn Treebank tag."""
_VERB_FORMS: tuple[Form, ...] = ("VBD", "VBG", "VBN", "VBZ")


def listed(line: str) -> frozenset[str]:
    """The words of a line."""
    return frozenset(line.split())


@lru_cache(maxsize=4096)
def inflected(phrase: str, form: Form) -> str:
    """A phrase in another form: its last word if it is a noun's, its first if it is a verb's."""
    from lemminflect import getInflection

    if not form:
        return phrase
    words = phrase.split(" ")
    i, tag = (-1, "NNS") if form == "plural" else (0, form)
    if form == "plural" and words[-1] == "person":
        return " ".join([*words[:-1], "people"])
    words[i] = next(iter(getInflection(words[i], tag)), words[i])
    return " ".join(words)


def forms(phrase: str, verb: bool) -> dict[str, Form]:
    """Every form in which a term is met, with the form's name."""
    if verb:
        return {inflected(phrase, form): form for form in _VERB_FORMS} | {phrase: ""}
    return {f"{phrase}es": "plural", f"{phrase}s": "plural", inflected(phrase, "plural"): "plural", phrase: ""}


@lru_cache(maxsize=4096)
def kinds(word: str) -> frozenset[str]:
    """What a word may be, of "NOUN", "VERB", "ADJ" and "ADV"; empty for one that the dictionary does not have."""
    from lemminflect import getAllLemmas

    return frozenset(getAllLemmas(word.lower())) - {"PROPN", "AUX"}


@lru_cache(maxsize=4096)
def lemma(word: str) -> str:
    """A verb's infinitive, or the word itself."""
    from lemminflect import getLemma

    return next(iter(getLemma(word, "VERB")), word) if "VERB" in kinds(word) else word


@lru_cache(maxsize=4096)
def is_noun(phrase: str) -> bool:
    """Whether a phrase of the policy ends in a noun, and in nothing that describes one."""
    return "NOUN" in (found := kinds(phrase.split(" ")[-1])) and "ADJ" not in found


@lru_cache(maxsize=4096)
def is_plural(phrase: str) -> bool:
    """Whether a phrase ends in a noun's plural."""
    from lemminflect import getLemma

    last = phrase.split(" ")[-1]
    return "NOUN" in kinds(last) and getLemma(last, "NOUN") != (last,)


def is_countable(noun: str) -> bool:
    """Whether a noun has an article: its plural is met at least a tenth as often, by SymSpell's counts."""
    last = noun.split(" ")[-1]
    many = inflected(last, "plural")
    return many != last and frequency(many) >= 0.1 * frequency(last)


def article(following: str) -> str:
    """ "a" or "an", whichever goes before a text."""
    return _article(following.split()[0]) if following.split() else "a"


@lru_cache(maxsize=4096)
def _article(word: str) -> str:
    return _engine().a(word).split(" ")[0]


def with_article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return f"{article(noun)} {noun}"


@lru_cache(maxsize=1)
def _engine():
    import inflect

    return inflect.engine()
