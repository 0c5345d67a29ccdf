"""What goes out with a term that nothing can stand for: its phrase, or all that is said of an act."""

from __future__ import annotations

from .clause import Part
from .english import kinds, listed

_PLACES = {"through": "in", "into": "in", "onto": "on", "where": "with"} | {
    word: word
    for word in listed("in on at by inside outside near beside under beneath along amid amidst during across")
}
_BESIDE = listed("castle lake sea river ocean shore pool window fireplace road roadside bridge")
_BODY = listed(
    "face chest head neck back arm hand wrist mouth eye leg stomach throat shoulder skin body lap way manner "
    "attempt act order process form moment effort camera viewer trigger game"
)
_ALONE = listed("space nature town bed school church heaven water snow rain fog mist sunlight moonlight darkness")
_TARGETS = ("on", "onto", "into", "through")
_BEFORE_ACTS = ("to", "how", "and", "as", "after", "before", "for", "while", "by")


def take_out(part: Part, start: int, end: int, places: bool = True) -> None:
    """Takes words out, but for those that say where, and in whose style."""
    words, i = part.words, start
    end = min(end, part.style) if part.style > start else end
    while i < end:
        after = _setting(part, i) if places else 0
        if after:
            words[i].new = _PLACES[words[i].text] if i > start or words[i].text == "where" else None
        else:
            words[i].new = ""
        i = after or i + 1


def act(part: Part, end: int) -> int | None:
    """The first word before `end` of what is done, if anything is."""
    words, start = part.words, part.happens
    if start >= end:
        return None
    while start and not words[start - 1].shows:
        before = words[start - 1]
        if before.kind != "adverb" and before.text not in _BEFORE_ACTS and kinds(before.text) != {"VERB"}:
            break
        start -= 1
    if start > 1 and words[start - 1].kind == "somebody" and words[start - 2].kind in ("preposition", "link"):
        start -= 2 + (start > 2 and words[start - 3].text == "just")
    return start


def extent(part: Part, i: int) -> tuple[int, int]:
    """The words (first, after the last) that go with one that has to go."""
    words = part.words
    start = act(part, i + 1)
    if start is not None:
        return start, len(words)
    phrase = start = part.phrase_start(i)
    while start:
        before = words[start - 1]
        if before.kind == "preposition":
            start -= 1
            if before.text == "of" and start and not part.of_picture(start):
                start = part.phrase_start(start - 1) if words[start - 1].kind != "verb" else start - 1
                continue
            if start and words[start - 1].kind == "verb" and not words[start - 1].shows:
                start -= 1
        elif before.kind == "verb" and start > 1 and words[start - 2].text == "there":
            start -= 2  # "there is blood"
        elif before.kind == "conjunction" or (before.kind == "verb" and not (before.shows and start == 1)):
            start -= 1
        break
    if not start:
        return 0, len(words)
    end = part.phrase_end(i)
    while end + 1 < len(words) and words[end].kind == "conjunction" and words[end + 1].kind in _PHRASE:
        after = part.phrase_end(end + 1)
        if not any(word.match for word in words[end + 1 : after]):
            return phrase, end + 1  # "with fear and joy" -> "with joy"
        end = after
    while end < len(words) and words[end].kind == "preposition" and not _setting(part, end) and end < part.style:
        end = part.phrase_end(end)
    return start, len(words) if end < len(words) and words[end].kind == "verb" else end


_PHRASE = ("word", "determiner", "owner")


def _setting(part: Part, i: int) -> int:
    """The first word after "in a park", if that is where something is; 0 if a word begins no such thing."""
    words = part.words
    if words[i].text not in _PLACES or i + 1 == len(words):
        return 0
    before = words[i - 1] if i else None
    if words[i].text in _TARGETS and before and before.match and before.kind == "verb" and before.text[-3:] != "ing":
        return 0  # "impaled on a stake"
    end = part.phrase_end(i)
    phrase = words[i + 1 : end]
    if [word.text for word in phrase[:2]] == ["front", "of"]:
        phrase = phrase[2:]
    head = phrase[: next((k for k, word in enumerate(phrase) if word.text == "of"), len(phrase))]
    if not head or head[-1].kind != "word" or any(word.match for word in phrase):
        return 0
    if words[i].text == "by" and head[-1].text not in _BESIDE:
        return 0  # whoever does it
    named = kinds(head[-1].text)
    owned = phrase[0].kind == "owner"
    known = phrase[0].kind == "determiner" or (owned and words[i].text == "in") or not kinds(phrase[0].text)
    known = known or phrase[0].text in _ALONE
    if words[i].text == "where" and phrase[0].kind == "determiner" and phrase[0].text not in ("a", "an"):
        return 0  # "with a man", but not "with the cuts"
    return end if known and (not named or "NOUN" in named) and head[-1].text.rstrip("s") not in _BODY else 0
