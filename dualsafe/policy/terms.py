"""What happens to each term of a part: another word stands in its place, or it goes, alone or with its phrase."""

from __future__ import annotations

from .clause import Part
from .cut import extent, take_out
from .english import is_noun, kinds
from .swap import swap
from .words import Word

_LIKE = ("themed", "inspired", "styled", "based")
_VERY = ("most", "more", "very", "so", "too", "super", "really")
_NUMBERS = ("two", "three", "four", "five", "six")
_ALONE = (",", ".", ",,", ",.", ".,", "..")
_DONE_WITH = ("by", "at", "to", "from", "after", "before", "against", "into", "towards", "toward")


def mark(part: Part) -> bool:
    """Says of a part's words what becomes of them.

    Returns:
        whether more goes than words that describe others.
    """
    removed = False
    for i, word in enumerate(part.words):
        if word.match is None or word.new is not None:
            continue
        concept = word.match.concept
        new = concept.counterpart
        noun = new is not None and not concept.verb and is_noun(new)
        subject = i < part.subject_end
        before = part.words[i - 1] if i else None
        if described := describes(part, i):
            said = before is not None and before.match is not None and before.match.concept.counterpart == new
            if new is not None and not (noun or said or "-" in word.written[word.match.end - word.start :]):
                swap(part, i, described)
                continue
            if new is not None or subject:
                _drop(part, i)
                continue
        elif len(part.words) == 1 and not noun and part.before + part.after in _ALONE:
            word.new = ""  # what describes all of it, as the aims do
            return True
        elif before is not None and (
            (new in ("person", "figure") and _is_name(before) and _is_there(part, i))
            or (
                word.match.loose
                and subject
                and new is None
                and (before.kind in ("determiner", "owner") or _is_thing(before))
            )
        ):
            _drop(part, i)
            continue
        elif new is not None and (not noun or _is_there(part, i)):
            swap(part, i, described)
            continue
        removed = True
        take_out(part, *extent(part, i))
    return removed


def _is_thing(word: Word) -> bool:
    return word.kind == "word" and "NOUN" in (found := kinds(word.text)) and "ADJ" not in found


def _is_name(word: Word) -> bool:
    return word.kind == "word" and word.match is None and kinds(word.text) == {"NOUN"} and word.text not in _NUMBERS


def describes(part: Part, i: int) -> bool:
    """Whether a word only describes the next one: "nude" of "a nude man", "gun" of "a gun shop"."""
    words, k = part.words, i + 1
    match = words[i].match
    noun = match is not None and not match.concept.verb and is_noun(match.concept.term)
    owned = i > 0 and words[i - 1].text in ("a", "an", "the")
    if words[i].kind != "word" or words[i].owns:
        return False
    if k == len(words):
        return part.after == "," and not noun and owned
    if words[k].kind != "word":
        more = words[k].match is not None or (k + 1 < len(words) and words[k + 1].kind == "word")
        return more and not noun and owned
    what = kinds(words[k].text)
    if noun:
        verb = "VERB" in what and words[k].text.endswith("s") and k + 1 < len(words)
        thing = "NOUN" in what and not verb
        return thing or (words[k].text.isalpha() and not what) or bool(words[k].match)
    return not what or bool(what & {"NOUN", "ADJ"})


def _is_there(part: Part, i: int) -> bool:
    """Whether a thing is only there, as in "with a gun", "holding a gun": nothing is done with it or by it."""
    start = part.phrase_start(i)
    before = part.words[start - 1] if start else None
    if before is None or before.kind == "preposition":
        return before is None or before.text not in _DONE_WITH
    return not before.happens


def _drop(part: Part, i: int) -> None:
    """Takes a word out that describes the next, with what makes it stronger, and the "and" that joins it to another."""
    words = part.words
    start = i
    while start and (words[start - 1].kind == "adverb" or words[start - 1].text in _VERY):
        start -= 1
    if start > 1 and words[start - 1].kind == "conjunction" and "ADJ" in kinds(words[start - 2].text):
        start -= 1
    end = i + 2 if i + 1 < len(words) and words[i + 1].text in _LIKE else i + 1
    for word in words[start:end]:
        word.new = ""
