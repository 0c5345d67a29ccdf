"""Finds phrases in text as a reader sees them: by words, spaced out, in leetspeak, misspelt, in texts without gaps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from .fold import Folded, fold
from .spelling import Spelling, common_words

T = TypeVar("T")

_WORD = re.compile(r"[^\W_]+")
_GAP = re.compile(r"[\s.\-_*~'’+/]{1,4}")
_SPACED = re.compile(r"(?<![^\W_])(?:[^\W_][\s.\-_*~'+/]{1,4}){2,}[^\W_](?![^\W_])")
_SIGNED = re.compile(r"[^\W_]*(?:[@$!|]+[^\W_]+)+[@$]*|[^\W_]+[@$]+")  # a word with signs for letters
_TIGHT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")  # scripts without gaps between words
_LEET = {
    "a": "4@",
    "b": "8",
    "e": "3",
    "g": "9",
    "i": "1!|",
    "l": "1|",
    "o": "0",
    "s": "5$",
    "t": "7",
    "u": "v",
    "z": "2",
}
_PLAIN = str.maketrans(
    {sign: letter for letter, signs in _LEET.items() for sign in signs} | {"l": "i"} | dict.fromkeys("1|", "i")
)
_LONGEST = 40  # letters of a word that is read for disguises


class Word(NamedTuple):
    """A word of a text: as it is meant, and its place in the folded text."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Found(Generic[T]):
    """A phrase found in a text.

    Attributes:
        start, end: its place in the text as written, in characters.
        first, last: its place in the folded text.
        meaning: what the lexicon has for it.
    """

    start: int
    end: int
    first: int
    last: int
    meaning: T


class Lexicon(Generic[T]):
    """Phrases, each with what it means.

    Args:
        phrases: in every form in which they are met; one word or several.
        misspelt: the words among them that are also found with one slip, if they have six letters and more.
        counts: whether a meaning is worth a search; a text with no phrase of such a meaning has none.
    """

    def __init__(
        self,
        phrases: Mapping[str, T],
        misspelt: Iterable[str] = (),
        counts: Callable[[T], bool] = lambda meaning: True,
    ) -> None:
        self._first: dict[str, list[tuple[tuple[str, ...], str, str, T]]] = {}
        self._joined: dict[str, T] = {}
        tight: dict[str, T] = {}
        for phrase, meaning in phrases.items():
            text = fold(phrase).text
            if _TIGHT.search(text):
                tight[text] = meaning
                continue
            places = list(_WORD.finditer(text))
            if not places:
                continue
            words = tuple(place.group() for place in places)
            lead, trail = text[: places[0].start()], text[places[-1].end() :]
            self._first.setdefault(words[0], []).append((words, lead, trail, meaning))
            joined = "".join(words)
            if len(joined) > 2 and (len(words) == 1 or joined not in common_words()):
                self._joined.setdefault(joined, meaning)
        for entries in self._first.values():
            entries.sort(key=lambda entry: -len(entry[0]))
        for joined, meaning in self._joined.items():
            self._first.setdefault(joined, []).append(((joined,), "", "", meaning))
        self._leads = {first for first, entries in self._first.items() if any(counts(entry[3]) for entry in entries)}
        self._words = frozenset(word for entries in self._first.values() for entry in entries for word in entry[0])
        self._plain: dict[str, list[str]] = {}
        for word in self._words:
            if len(word) > 2:
                self._plain.setdefault(word.translate(_PLAIN), []).append(word)
        self._starts = {joined[:3] for joined in self._joined} | {
            joined[:3].translate(_PLAIN) for joined in self._joined
        }
        self._longest = max(map(len, self._joined), default=0)
        self._spelling = Spelling(misspelt)
        self._tight = tight
        self._tight_pattern = re.compile("|".join(map(re.escape, sorted(tight, key=len, reverse=True))) or "(?!)")
        self._meant: dict[str, str | None] = {}

    def find(self, text: str) -> list[Found[T]]:
        """Every phrase in a text, in order; of those that overlap the one that begins first, then the longest."""
        folded = fold(text)
        low = folded.text
        words = _WORD.findall(low)
        tight = not low.isascii() and self._tight_pattern.search(low)
        signs = _SIGNED.search(low) if any(sign in low for sign in "@$!|") else None
        spaced = sum(len(word) == 1 for word in words) > 2 and _SPACED.search(low)
        if not (tight or signs or spaced) and self._leads.isdisjoint(words):
            odd = set(words) - common_words()
            if not any(self._meaning(word) in self._leads for word in odd):
                return []
        spans = [*self._by_words(low, bool(signs)), *self._spaced(low)]
        if tight:
            spans += [(hit.start(), hit.end(), self._tight[hit.group()]) for hit in self._tight_pattern.finditer(low)]
        return list(_apart(spans, folded))

    def _by_words(self, low: str, signs: bool) -> Iterator[tuple[int, int, T]]:
        words = list(self._read(low, signs))
        for i, word in enumerate(words):
            if word.text not in self._first:
                continue
            for entry, lead, trail, meaning in self._first[word.text]:
                end = self._runs(low, words, i, entry)
                if end and low.endswith(lead, 0, word.start) and low.startswith(trail, end):
                    yield word.start - len(lead), end + len(trail), meaning
                    break

    @staticmethod
    def _runs(low: str, words: list[Word], i: int, entry: tuple[str, ...]) -> int:
        """Where a phrase that may begin at a word ends; 0 if it is not there."""
        if i + len(entry) > len(words):
            return 0
        for k in range(1, len(entry)):
            before, word = words[i + k - 1], words[i + k]
            if word.text != entry[k] or not _GAP.fullmatch(low, before.end, word.start):
                return 0
        return words[i + len(entry) - 1].end

    def _read(self, low: str, signs: bool) -> Iterator[Word]:
        """The words of a text as they are meant."""
        signed = [hit for hit in _SIGNED.finditer(low) if self._unsigned(hit.group())] if signs else []
        place = 0
        for hit in signed:
            yield from self._plainly(low, place, hit.start())
            yield Word(self._unsigned(hit.group()) or "", hit.start(), hit.end())
            place = hit.end()
        yield from self._plainly(low, place, len(low))

    def _plainly(self, low: str, start: int, end: int) -> Iterator[Word]:
        for hit in _WORD.finditer(low, start, end):
            yield Word(self._meaning(hit.group()), hit.start(), hit.end())

    def _meaning(self, word: str) -> str:
        """A word of the lexicon that an unknown one is meant for, or the word itself."""
        if word in self._words or word in common_words() or len(word) > _LONGEST:
            return word
        if word not in self._meant:
            if len(self._meant) > 100_000:
                self._meant.clear()
            self._meant[word] = self._unsigned(word) or self._spelling.meant(word)
        return self._meant[word] or word

    def _unsigned(self, word: str) -> str | None:
        """A word of the lexicon that is written with digits and signs for letters."""
        if len(word) > _LONGEST or word.isdigit():
            return None
        for meant in self._plain.get(word.translate(_PLAIN), ()):
            if meant != word and all(a == b or a in _LEET.get(b, "") for a, b in zip(word, meant)):
                return meant
        return None

    def _spaced(self, low: str) -> Iterator[tuple[int, int, T]]:
        """Phrases that are written with a gap after every letter."""
        for run in _SPACED.finditer(low):
            places = [i for i in range(run.start(), run.end()) if low[i].isalnum()]
            letters = "".join(low[i] for i in places)
            plain = letters.translate(_PLAIN)
            i = 0
            while i < len(letters) - 2:
                found = 0
                if letters[i : i + 3] in self._starts or plain[i : i + 3] in self._starts:
                    for size in range(min(self._longest, len(letters) - i), 2, -1):
                        part = letters[i : i + size]
                        word = part if part in self._joined else self._unsigned(part)
                        if word in self._joined:
                            yield places[i], places[i + size - 1] + 1, self._joined[word]
                            found = size
                            break
                i += found or 1


def _apart(spans: Iterable[tuple[int, int, T]], folded: Folded) -> Iterator[Found[T]]:
    """Those that do not overlap an earlier or longer one."""
    reached = 0
    for first, last, meaning in sorted(spans, key=lambda span: (span[0], -span[1])):
        if first >= reached:
            reached = last
            yield Found(*folded.span(first, last), first, last, meaning)
