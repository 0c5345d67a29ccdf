"""What stands in a term's place: its counterpart in the term's form and capitals, with the article that it takes."""

from __future__ import annotations

from .clause import Part
from .english import Form, article, inflected, is_countable, is_noun, is_plural, with_article

_WITH = ("with", "holding", "carrying", "wearing", "wears", "in", "on", "holds", "of")
_BE = ("be", "been", "being", "is", "was", "are", "were")


def swap(part: Part, i: int, describes: bool) -> None:
    """Puts a term's counterpart in its place.

    Args:
        describes: whether the term describes the next word.
    """
    word, match = part.words[i], part.words[i].match
    assert match is not None and match.concept.counterpart is not None
    new, verb = match.concept.counterpart, match.concept.verb
    first = part.phrase_start(i)
    opens = part.words[first]
    noun, many = not verb and is_noun(new), match.form == "plural"
    if verb:
        new = inflected(new, _met_as(part, i))
    elif noun:
        new = inflected(new, match.form)
        many = many or is_plural(new)
    elif many and not describes:
        new = f"{new} people"  # "two nudes"
    elif not describes and i and part.words[i - 1].text in ("a", "an", "the"):
        new = f"{new} person"  # "a nude"
    before, after = word.written[: match.start - word.start], word.written[match.end - word.start :]
    if "-" in before:  # "half-naked"
        before = after = ""
    new = as_written(word.written, new)
    if many and opens.text in ("a", "an"):
        opens.new = ""
    elif noun and not many and opens.kind == "word" and first and part.words[first - 1].text in _WITH:
        bare = is_countable(new) and new[0].islower()
        if bare and first < i:
            opens.new = f"{article(opens.new or opens.text)} {opens.new or opens.written}"
        elif bare:
            new = with_article(new)
    word.new = before + new + after


def _met_as(part: Part, i: int) -> Form:
    """The form of a term; a verb's first may be a noun ("the scream") or a participle ("was hit")."""
    match = part.words[i].match
    assert match is not None
    if i and not match.form:
        before = part.words[i - 1]
        if (before.kind in ("determiner", "owner") or before.owns) and not is_noun(match.concept.counterpart or ""):
            return "VBG"
        if before.text in _BE:
            return "VBN"
    return match.form


def as_written(old: str, new: str) -> str:
    """A text in the capitals of another."""
    letters = [c for c in old if c.isalpha()]
    if len(letters) > 1 and all(c.isupper() for c in letters):
        return new.upper()
    if letters and letters[0].isupper():
        title = sum(word[:1].isupper() for word in old.split()) == len(old.split()) > 1
        return " ".join(map(capital, new.split())) if title else capital(new)
    return new


def capital(text: str) -> str:
    """A text with a capital at its beginning."""
    return text[:1].upper() + text[1:]
