"""The words of a prompt, and what each does where it stands, as far as taking some out needs it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from .english import kinds, lemma, listed
from .match import Match

Kind = Literal["word", "determiner", "owner", "preposition", "conjunction", "link", "verb", "adverb", "somebody"]
"""What a word does: "link" opens a clause or helps a verb ("who", "is"), "owner" is "his", "somebody" a pronoun."""

_LISTS: tuple[tuple[Kind, str], ...] = (
    ("determiner", "a an the this that these those some any no each every another several many two three four"),
    ("owner", "his her its their my your our someone's somebody's each other's"),
    (
        "preposition",
        "of in on at by with from to for into onto over under inside outside within near beside below "
        "beneath behind above between among amid amidst against through throughout across along around during about "
        "without toward towards upon beyond via despite as like than next after before",
    ),
    ("conjunction", "and or but nor yet &"),
    (
        "link",
        "who which where when while because until if how so since although whose what is are was were be "
        "been being isn't has have had having get gets got getting will would can could may might must should does "
        "do did not",
    ),
    ("somebody", "he she it they i we you him them me us himself herself itself themselves someone somebody"),
)
CLOSED: dict[str, Kind] = {word: kind for kind, words in _LISTS for word in words.split()}
_SHOW = listed(  # "a photo showing a man": what is shown is what it is about
    "depict show illustrate portray feature capture represent display visualize present"
)
_THERE = listed("is are was were")  # after "there" they show; elsewhere they are links
_MAKE = listed("draw paint render create generate design make imagine produce sketch picture write build")
_BEING = listed(  # what people do while nothing happens: such a verb says nothing of what follows it
    "hold carry wear sit stand lie walk look pose dress have be smile rest lean kneel float sleep dance drape "
    "cover surround adorn decorate fill light set stare gaze detail texture blur saturate focus center inspire title"
)
_THINGS = listed(  # more often things than what is done
    "painting lighting drawing rendering shading building engraving etching trending clothing setting"
)
_WORD = re.compile(r"[^\W_](?:[\w.]*\w)?(?:['’]\w+)?(?: ?- ?\w+)*")


@dataclass
class Word:
    """A word of a prompt, or a term of several.

    Attributes:
        written, text: as it stands there, and in lower case.
        start, end: its place, in characters.
        kind: what it does.
        match: the term it belongs to.
        new: what stands in its place; empty if it goes, None if it stays.
    """

    written: str
    start: int
    end: int
    kind: Kind = "word"
    match: Match | None = None
    new: str | None = None

    def __post_init__(self) -> None:
        self.text = self.written.lower()

    @property
    def shows(self) -> bool:
        """Whether it is a verb whose object is what the picture shows."""
        active = self.text.endswith(("ing", "s")) or self.text == lemma(self.text)
        shown = self.text in _MAKE or self.text in _THERE or (active and lemma(self.text) in _SHOW)
        return self.kind == "verb" and shown

    @property
    def happens(self) -> bool:
        """Whether it says that something is done, or opens a clause that may."""
        made = lemma(self.text) in _MAKE and not self.text.endswith(("ing", "s"))
        return self.kind == "link" or (self.kind == "verb" and not made and lemma(self.text) not in _SHOW | _BEING)

    @property
    def owns(self) -> bool:
        """Whether the next word is of it: "the man's"."""
        return self.text.endswith(("'s", "’s"))


def words_of(prompt: str, start: int, end: int, matches: list[Match]) -> list[Word]:
    """The words of a piece of a prompt; `matches` are the terms in it, each of which is one word."""
    words: list[Word] = []
    k = 0
    for hit in _WORD.finditer(prompt, start, end):
        while k < len(matches) and matches[k].end <= hit.start():
            k += 1
        match = matches[k] if k < len(matches) and matches[k].start < hit.end() else None
        first, last = hit.start(), max(hit.end(), match.end if match else 0)
        if match is not None and words and words[-1].match is match:
            first = words.pop().start
        words.append(Word(prompt[first:last], first, last, "word", match))
    for i, word in enumerate(words):
        word.kind = _kind(word, words[i - 1] if i else None, words[i + 1] if i + 1 < len(words) else None)
    return words


def _kind(word: Word, before: Word | None, after: Word | None) -> Kind:
    if word.match is None:
        if word.text in CLOSED:
            if word.text in _THERE and before and before.text == "there":
                return "verb"
            return "link" if word.text == "that" and before and before.kind == "word" else CLOSED[word.text]
        if _is_verb(word.text, before, after):
            return "verb"
        return "adverb" if kinds(word.text) == {"ADV"} else "word"
    if not word.match.concept.verb and kinds(word.text) != {"VERB"}:
        done = after is not None and CLOSED.get(after.text) in ("determiner", "owner", "somebody")
        return "verb" if done and word.text.endswith("ing") and "VERB" in kinds(word.text) else "word"
    noun = word.match.form == "" and before is not None and before.kind in ("determiner", "owner")
    return "word" if noun or _attributive(word, before, after) else "verb"


def _attributive(word: Word, before: Word | None, after: Word | None) -> bool:
    """Whether a participle describes the noun after it: "a screaming man", but not "a man killing men"."""
    if not word.text.endswith(("ing", "ed", "en")):
        return False
    if after is None or after.text in CLOSED:
        return after is None and before is not None and before.text in ("a", "an")
    return (
        before is None
        or before.kind in ("determiner", "owner", "preposition")
        or (before.kind == "adverb" and not word.text.endswith("ing"))
        or kinds(before.text) == {"ADJ"}
    )


@lru_cache(maxsize=4096)
def _opens(text: str) -> bool:
    """Whether a word is one that may follow a verb and not a noun."""
    kind = CLOSED.get(text)
    return kind in ("determiner", "owner", "somebody", "preposition", "link") or kinds(text) == {"ADV"}


def _is_verb(text: str, before: Word | None, after: Word | None) -> bool:
    """Whether a word is a verb where it stands, by what it may be and by its neighbours."""
    found = kinds(text)
    follows = after is None or _opens(after.text)
    next_kind = CLOSED.get(after.text) if after else None
    if not found and text.endswith("ing") and after and follows:
        found = frozenset(["VERB"])
    if text in _THINGS:
        return before is not None and before.kind == "preposition" and next_kind == "determiner"
    if "VERB" not in found or (after and after.text == "of" and "NOUN" in found | kinds(text[:-3])):
        return False
    if before is None:
        if after and text in _SHOW | _MAKE:
            return True
        participle = text != lemma(text) and not text.endswith("s")
        return participle and (follows or (found == {"VERB"} and text.endswith("ing")))
    if before.kind in ("link", "somebody") or before.text == "to":
        return True
    if before.kind in ("determiner", "owner"):
        return False
    if text.endswith("ing"):
        if "NOUN" in found and (next_kind == "link" or kinds(before.text) == {"ADJ"}):
            return False  # "a meeting where", "a festive gathering"
        alone = "NOUN" not in found and kinds(before.text) != {"ADJ"}
        return follows or alone or before.kind == "conjunction" or lemma(text) in _SHOW | _BEING
    if text == lemma(text):
        return False
    if text.endswith("s") and "NOUN" in found:
        return before.kind == "word" and next_kind in ("determiner", "owner", "somebody")
    return follows or (before.kind == "word" and text.endswith("s"))
