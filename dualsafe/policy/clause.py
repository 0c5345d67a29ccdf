"""A prompt's sentences, as far as taking words out needs them: parts between commas, and what each word does there."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
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
_CLOSED: dict[str, Kind] = {word: kind for kind, words in _LISTS for word in words.split()}
_SHOW = listed(  # "a photo showing a man": what is shown is what it is about
    "depict show illustrate portray feature capture represent display visualize present"
)
_MAKE = listed("draw paint render create generate design make imagine produce sketch picture write build")
_PICTURES = listed(  # "a photo of a man", "a group of men"
    "image picture photo photograph photography painting portrait illustration drawing scene depiction "
    "representation visualization poster still shot render rendering footage art artwork sketch panel screenshot "
    "cover view video closeup close-up cartoon comic selfie print design concept idea group pair crowd series "
    "snapshot collage animation study polaroid film sculpture statue mural couple lots bunch"
)
_BEING = listed(  # what people do while nothing happens: such a verb says nothing of what follows it
    "hold carry wear sit stand lie walk look pose dress have be smile rest lean kneel float sleep dance drape "
    "cover surround adorn decorate fill light set stare gaze "
    "detail texture blur saturate focus center inspire title"
)
_ARTWORK = listed("painting lighting drawing rendering shading building engraving etching trending clothing")
_BY = listed("art painted drawn painting photo photographed photography inspired designed illustrated")
_WORD = re.compile(r"[^\W_](?:[\w.]*\w)?(?:['’]\w+)?(?: ?- ?\w+)*")
_BORDER = re.compile(
    r"[!?]+|[,;\n|()\[\]{}\"“”—]|:\s*-?[\d.]+(?=\s*[)\]}])|[.:](?=\s|$|[)\]}\"])|\bBREAK\b|\bAND\b|<\w+:[^<>]*>"
)
_REACH = 16  # words of a noun phrase that are looked at, so that time stays linear
_ENDS = (".", ";", "!", "?", "\n", "BREAK", "AND")


@dataclass
class Word:
    """A word of a prompt: as written in lower case, its place, what it does, and the term it belongs to."""

    text: str
    start: int
    end: int
    kind: Kind = "word"
    match: Match | None = None

    @property
    def shows(self) -> bool:
        """Whether it is a verb whose object is what the picture shows."""
        active = self.text.endswith(("ing", "s")) or self.text == lemma(self.text)
        return self.kind == "verb" and ((active and lemma(self.text) in _SHOW) or self.text in _MAKE)

    @property
    def happens(self) -> bool:
        """Whether it says that something is done, or opens a clause that may."""
        made = lemma(self.text) in _MAKE and not self.text.endswith(("ing", "s"))
        return self.kind == "link" or (self.kind == "verb" and not made and lemma(self.text) not in _SHOW | _BEING)


@dataclass
class Part:
    """What stands between two commas, brackets or stops.

    Attributes:
        start, end: its place in the prompt, without spaces around it.
        before, after: the sign that stands there; empty at the prompt's ends.
        words: its words.
    """

    start: int
    end: int
    before: str
    after: str
    words: list[Word]

    def phrase_start(self, i: int) -> int:
        """Where the noun phrase of a word begins, its determiner included."""
        end = max(0, i - _REACH)
        while i > end and self.words[i - 1].kind in ("word", "determiner", "owner", "adverb"):
            i -= 1
        return i

    def phrase_end(self, i: int) -> int:
        """The first word after a word's noun phrase; "of" goes on with it."""
        words, i = self.words, i + 1
        while i < len(words):
            opens = (
                words[i].kind in ("determiner", "owner") and words[i - 1].kind == "word" and words[i - 1].text != "of"
            )
            if opens or (words[i].kind not in ("word", "determiner", "adverb", "owner") and words[i].text != "of"):
                break
            i += 1
        return i

    @cached_property
    def happens(self) -> int:
        """The first word that says that something is done; the number of words if none does."""
        return next((i for i, word in enumerate(self.words) if word.happens), len(self.words))

    @property
    def subject_end(self) -> int:
        """The first word after what the part is about: "a man" of "a photo of a man stabbing", "Show a man who"."""
        i = 0
        while i < len(self.words):
            word = self.words[i]
            if word.kind not in ("word", "determiner", "owner", "adverb") and not word.shows and not self.of_picture(i):
                break
            i += 1
        return i

    @property
    def style(self) -> int:
        """The first word that says by whom or in what style the picture is; the number of words if none does."""
        words = self.words
        for i, word in enumerate(words):
            after = words[i + 1].kind if i + 1 < len(words) else ""
            if (
                word.text == "by"
                and (not i or words[i - 1].kind != "verb")
                and after == "word"
                and not words[i + 1].text.endswith("ing")
            ):
                return i - (i == 1 and words[0].text in _BY)
            if word.text == "style" and i + 1 < len(words) and words[i + 1].text == "of":
                return max(0, i - 2) if i > 1 and words[i - 1].text == "the" else i
        return len(words)

    def of_picture(self, i: int) -> bool:
        """Whether a word is the "of" of "a photo of"."""
        return self.words[i].text == "of" and (i == 0 or self.words[i - 1].text.rstrip("s") in _PICTURES)


def sentences(prompt: str, matches: list[Match]) -> Iterator[list[Part]]:
    """A prompt's sentences, each as its parts; no border lies inside a term."""
    starts = [match.start for match in matches]
    inside = {place for match in matches for place in range(match.start, match.end)}
    found: list[Part] = []
    start, before = 0, ""
    borders = [(hit.start(), hit.end(), hit[0]) for hit in _BORDER.finditer(prompt) if hit.start() not in inside]
    for a, b, sign in [*borders, (len(prompt), len(prompt), "")]:
        text = prompt[start:a]
        left = start + len(text) - len(text.lstrip())
        here = matches[bisect_left(starts, left) : bisect_left(starts, a)]
        right = max(left, start + len(text.rstrip()))
        found.append(Part(left, right, before, sign, _words(prompt, left, a, here)))
        start, before = b, sign
        if sign.startswith(_ENDS) or not sign:
            yield found
            found = []


def _words(prompt: str, start: int, end: int, matches: list[Match]) -> list[Word]:
    words: list[Word] = []
    k = 0
    for hit in _WORD.finditer(prompt, start, end):
        while k < len(matches) and matches[k].end <= hit.start():
            k += 1
        match = matches[k] if k < len(matches) and matches[k].start < hit.end() else None
        if match is not None and words and words[-1].match is match:
            words[-1].end = max(hit.end(), match.end)
            words[-1].text = prompt[words[-1].start : words[-1].end].lower()
            continue
        words.append(Word(hit[0].lower(), hit.start(), max(hit.end(), match.end if match else 0), "word", match))
    for i, word in enumerate(words):
        word.kind = _kind(words, i)
    return words


def _kind(words: list[Word], i: int) -> Kind:
    word = words[i]
    if word.match is None and word.text in ("is", "are") and i and words[i - 1].text == "there":
        return "verb"
    if word.match is None and word.text in _CLOSED:
        return "link" if word.text == "that" and i and words[i - 1].kind == "word" else _CLOSED[word.text]
    before = words[i - 1] if i else None
    after = words[i + 1] if i + 1 < len(words) else None
    if word.match is not None and not word.match.concept.verb and kinds(word.text) != {"VERB"}:
        done = after is not None and _CLOSED.get(after.text) in ("determiner", "owner", "somebody")
        return "verb" if done and word.text.endswith("ing") and "VERB" in kinds(word.text) else "word"
    if word.match is not None:
        noun = word.match.form == "" and before is not None and before.kind in ("determiner", "owner")
        return "word" if noun or _attributive(word, before, after) else "verb"
    if _is_verb(word.text, before, after):
        return "verb"
    return "adverb" if kinds(word.text) == {"ADV"} else "word"


def _attributive(word: Word, before: Word | None, after: Word | None) -> bool:
    """Whether a participle describes the noun after it: "a screaming man", but not "a man killing men"."""
    if not word.text.endswith(("ing", "ed", "en")):
        return False
    if after is None or after.text in _CLOSED:
        return after is None and before is not None and before.text in ("a", "an")
    return (
        before is None
        or before.kind in ("determiner", "owner", "adverb", "preposition")
        or kinds(before.text) == {"ADJ"}
    )


@lru_cache(maxsize=4096)
def _opens(text: str) -> bool:
    """Whether a word is one that may follow a verb and not a noun."""
    kind = _CLOSED.get(text)
    return kind in ("determiner", "owner", "somebody", "preposition", "link") or kinds(text) == {"ADV"}


def _is_verb(text: str, before: Word | None, after: Word | None) -> bool:
    """Whether a word is a verb where it stands, by what it may be and by its neighbours."""
    found = kinds(text)
    follows = after is None or _opens(after.text)
    next_kind = _CLOSED.get(after.text) if after else None
    if not found and text.endswith("ing") and after and follows:
        found = frozenset(["VERB"])
    if "VERB" not in found or (after and after.text == "of" and "NOUN" in found | kinds(text[:-3])):
        return False
    if text in _ARTWORK:
        return before is not None and before.kind == "preposition" and next_kind == "determiner"
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
        if "NOUN" in found and next_kind == "link":
            return False  # "a meeting where"
        alone = "NOUN" not in found and kinds(before.text) != {"ADJ"}
        return follows or alone or before.kind == "conjunction" or lemma(text) in _SHOW | _BEING
    if text == lemma(text):
        return found == {"VERB"} and before.text.endswith("s") and before.kind == "word"
    if text.endswith("s") and "NOUN" in found:
        return before.kind == "word" and next_kind in ("determiner", "owner", "somebody")
    return follows or (text.endswith("s") and before.kind == "word")
