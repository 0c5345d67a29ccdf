"""A prompt's sentences, each as parts between commas, and the phrases in a part."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from .english import listed
from .match import Match
from .words import Word, words_of

PICTURES = listed(  # "a photo of a man", "a group of men"
    "image picture photo photograph photography painting portrait illustration drawing scene depiction "
    "representation visualization poster still shot render rendering footage art artwork sketch panel screenshot "
    "cover view video closeup close-up cartoon comic selfie print design concept idea group pair crowd series "
    "snapshot collage animation study polaroid film sculpture statue mural couple lots bunch"
)
_BY = listed("art painted drawn painting photo photographed photography inspired designed illustrated")
_BORDER = re.compile(
    r"[!?]+|[,;\n|()\[\]{}\"“”—]|:\s*-?[\d.]+(?=\s*[)\]}])|[.:](?=\s|$|[)\]}\"])|\bBREAK\b|\bAND\b|<\w+:[^<>]*>"
)
_REACH = 16  # words of a noun phrase that are looked at, so that time stays linear
_ENDS = (".", ";", "!", "?", "\n", "BREAK", "AND")


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

    @property
    def left(self) -> list[Word]:
        """The words that stay, or that others stand for."""
        return [word for word in self.words if word.new != ""]

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
            before, word = words[i - 1], words[i]
            opens = word.kind in ("determiner", "owner") and before.kind == "word" and before.text != "of"
            if opens or (word.kind not in ("word", "determiner", "adverb", "owner") and word.text != "of"):
                break
            i += 1
        return i

    @cached_property
    def happens(self) -> int:
        """The first word that says that something is done; the number of words if none does."""
        return next((i for i, word in enumerate(self.words) if word.happens), len(self.words))

    @cached_property
    def subject_end(self) -> int:
        """The first word after what the part is about: "a man" of "a photo of a man stabbing", "Show a man who"."""
        for i, word in enumerate(self.words):
            if word.kind not in ("word", "determiner", "owner", "adverb") and not word.shows and not self.of_picture(i):
                return i
        return len(self.words)

    @cached_property
    def style(self) -> int:
        """The first word that says by whom or in what style the picture is; the number of words if none does."""
        words = self.words
        for i, (word, after) in enumerate(pairwise(words)):
            made = i == 0 or words[i - 1].kind != "verb" or words[i - 1].text.endswith("ing")
            if word.text == "by" and made and after.kind == "word" and not after.text.endswith("ing"):
                return i - (i == 1 and words[0].text in _BY)
            if word.text == "style" and after.text == "of":
                return max(0, i - 2) if i > 1 and words[i - 1].text == "the" else i
        return len(words)

    def of_picture(self, i: int) -> bool:
        """Whether a word is the "of" of "a photo of"."""
        return self.words[i].text == "of" and (i == 0 or self.words[i - 1].text.rstrip("s") in PICTURES)


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
        right = max(left, start + len(text.rstrip()))
        here = matches[bisect_left(starts, left) : bisect_left(starts, a)]
        found.append(Part(left, right, before, sign, words_of(prompt, left, a, here)))
        start, before = b, sign
        if sign.startswith(_ENDS) or not sign:
            yield found
            found = []
