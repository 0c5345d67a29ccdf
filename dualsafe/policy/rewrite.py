"""A prompt without its unsafe terms.

A thing gives way to its counterpart, and what only describes is left out. An act is not replaced, since its sentence
would make no sense: who is there, where, and in what style stay, and what is done goes.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from .clause import Part, Word, sentences
from .english import Form, article, inflected, is_countable, is_noun, is_plural, kinds, listed, with_article
from .match import Match, find
from .model import Policy

_WEIGHT = r"(?::\s*-?[\d.]+)?"
_EMPTY = re.compile(rf"[(\[{{]\s*{_WEIGHT}\s*[)\]}}]|\"[\s.,:!?]*\"|“[\s.,:!?]*”")
_SEAM = 64  # characters before a seam that are looked at, so that time stays linear
_OPEN, _CLOSE = "([{“", ")]}”"
_DANGLING = re.compile(
    r"(?<![\w'’-])(?:with|holding|carrying|wearing|titled|showing|depicting|and|or|of|in|on|for|a|an|the)\s+$",
    re.IGNORECASE,
)
_PLACES = {"through": "in", "into": "in", "onto": "on"} | {
    word: word for word in listed("in on at inside outside near beside under beneath along amid amidst during across")
}
_PHRASE = ("word", "determiner", "owner")
_NOTHING = ("somebody", "conjunction", "determiner", "preposition")
_LIKE = ("themed", "inspired", "styled", "based")
_VERY = ("most", "more", "very", "so", "too", "super", "really")
_NUMBERS = ("two", "three", "four", "five", "six")
_WITH = ("with", "holding", "carrying", "wearing", "wears", "in", "on", "holds", "of")
_BEFORE_ACTS = ("to", "how", "and", "as", "after", "before", "for", "while", "by")
_BODY = listed(
    "face chest head neck back arm hand wrist mouth eye leg stomach throat shoulder skin body lap way manner "
    "attempt act order process form moment effort camera viewer trigger game"
)


@dataclass(frozen=True)
class Trigger:
    """An unsafe term found in a prompt.

    Attributes:
        text: the term as the prompt writes it.
        start, end: its place in the prompt, in characters.
        category: the policy category it belongs to.
        counterpart: what stands in for it; None where it is removed.
    """

    text: str
    start: int
    end: int
    category: str
    counterpart: str | None


@dataclass(frozen=True)
class Rewrite:
    """A prompt without its unsafe terms; `text` equals the prompt where nothing was found."""

    text: str
    triggers: tuple[Trigger, ...]


@dataclass(frozen=True)
class _Edit:
    """A piece of the prompt that goes, and what comes in its place."""

    start: int
    end: int
    new: str = ""


def rewrite(policy: Policy, prompt: str, tokens: Collection[str] = ()) -> Rewrite:
    """Replaces or removes every unsafe term of `policy` in `prompt`, and says the aims of the categories found.

    Articles, numbers, tenses, capitals and commas are kept right, and so is what stands for weights, networks and
    sections in prompts: "(knife:1.3)", "[knife]", "<lora:name:0.8>", "BREAK", line breaks.

    Args:
        tokens: words that a text encoder has learned beside its own, which stay whole.
    """
    matches = find(policy, prompt, tokens)
    if not matches:
        return Rewrite(prompt, ())
    edits, place = _edits(prompt, matches)
    aims = [aim for m in matches if (aim := policy.categories[m.category].aim)]
    said = ", ".join(dict.fromkeys(aim for aim in aims if not aim.startswith("with ") and aim not in prompt))
    text = _once(_applied(prompt, edits, place, said), {m.concept.counterpart or "" for m in matches})
    text = re.sub(r"[:,;]+(?=[.]?$)|(?<=\w),(?=\"\s*,)", "", text.strip(" ,;"))
    text = text or ", ".join(dict.fromkeys(aim.removeprefix("with ") for aim in aims))
    starts = [match.start for match in matches]
    kept = {k for e in edits if e.new for k in range(bisect_left(starts, e.start), bisect_left(starts, e.end))}
    triggers = (
        Trigger(prompt[m.start : m.end], m.start, m.end, m.category, m.concept.counterpart if k in kept else None)
        for k, m in enumerate(matches)
    )
    return Rewrite(_capital(text) if prompt.lstrip()[:1].isupper() else text, tuple(triggers))


def _edits(prompt: str, matches: list[Match]) -> tuple[list[_Edit], int]:
    """What is to be changed, in order and apart, and where the aims are to be said."""
    edits: list[_Edit] = []
    place, cut = -1, False
    for parts in sentences(prompt, matches):
        if any(word.match for part in parts for word in part.words):
            new, here, cut = _sentence(prompt, parts, cut)
            edits += new
            place = here if place < 0 else place
        else:
            cut = False
    apart: list[_Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, -edit.end)):
        if not apart or edit.start >= apart[-1].end:
            apart.append(edit)
        elif edit.end > apart[-1].end:
            apart[-1] = _Edit(apart[-1].start, edit.end)
    return apart, max(place, 0)


def _sentence(prompt: str, parts: list[Part], follows: bool) -> tuple[list[_Edit], int, bool]:
    """A sentence's edits, where aims may be said after it, and whether it was cut down to who is there, and where.

    Args:
        follows: whether the sentence before was, so that what this one says of it goes with it.
    """
    found = [_part(prompt, part) for part in parts]
    words = sum(len(part.words) for part in parts)
    prose = parts[-1].after == "." and words > 7 and words >= 5 * sum(bool(part.words) for part in parts)
    about = next((k for k, part in enumerate(parts) if part.words and part.words[0].kind != "preposition"), 0)
    while parts[about].after == "," and parts[about].words and _is_adjective(parts[about].words[-1]):
        about += 1  # "a desolate, windswept beach"
    cut = any(found[k][1] and (prose or _goes_on(parts[k], prose)) for k in range(about + 1, len(parts)))
    cut |= prose and any(word.happens for part in parts for word in part.words)
    gone, said = False, set()
    edits: list[_Edit] = []
    last, placed = 0, False
    for k, (part, (new, removed)) in enumerate(zip(parts, found)):
        first = _act(part, len(part.words)) if k <= about else 0
        if k > about:
            leads = removed and not new[0].new and new[0].start <= part.start
            more = _goes_on(part, prose) or leads or (prose and (gone or removed))
        else:
            more = k == about and first is not None and first + k > 0
        if cut and part.words and more:
            new = [edit for edit in new if edit.start < part.words[first or 0].start]
            new += _cut(part, first or 0, len(part.words), places=not any(edit.new for edit in edits))
            removed, gone = True, k > about
        cut = cut or removed
        if not new:
            continue
        if len(part.words) == 1 and new[0].new in said:
            new, removed = [_Edit(part.start, part.end)], True
        said |= {edit.new for edit in new if edit.new}
        left = _left(part, new)
        if removed and all(word.shows or word.kind in _NOTHING for word in left):
            if k > about or not any(word.shows for word in left):
                new = [_Edit(part.start, part.end)]
            elif not any(word.kind == "somebody" for word in left):
                new = [*new[:-1], _Edit(new[-1].start, new[-1].end, "a scene")]
        joins = removed and k > 0 and new[0].start <= part.start and part.before == ","
        if joins:
            new[0] = _Edit(parts[k - 1].end, new[0].end, new[0].new)
        elif part.after == "," and k + 1 < len(parts) and new[-1].end >= part.end and not new[-1].new:
            new[-1] = _Edit(new[-1].start, parts[k + 1].start if _incomplete(left) else new[-1].end)
        edits += new
        if not placed or (joins and last == k - 1):
            last, placed = k, True
    if all(not _left(part, edits) for part in parts) or (cut and _speaks_of_it(parts, follows)):
        start, end = parts[0].start, parts[-1]
        return [_Edit(start, end.end + len(end.after) * end.after.startswith((".", ";", "!", "?")))], start, True
    whole = all(_describes(prompt, parts[last], i) for i in range(len(parts[last].words))[-1:])
    return edits, _place(parts, len(parts) - 1 if whole else last, edits), cut


def _is_adjective(word: Word) -> bool:
    return word.match is None and "ADJ" in (what := kinds(word.text)) and "NOUN" not in what


def _incomplete(left: list[Word]) -> bool:
    """Whether what is left of a part says nothing without the next: nothing, or an article alone."""
    return not left or left[-1].kind == "determiner"


def _speaks_of_it(parts: list[Part], follows: bool) -> bool:
    """Whether a sentence only tells more of what the one before said."""
    first = next(part for part in parts if part.words).words[0]
    return first.kind == "somebody" or (follows and first.text in ("the", "this", "his", "her", "their", "its"))


def _left(part: Part, edits: Iterable[_Edit]) -> list[Word]:
    """A part's words that stay."""
    starts = [word.start for word in part.words]
    left = dict(enumerate(part.words))
    for edit in edits:
        for k in range(bisect_left(starts, edit.start), bisect_left(starts, edit.end)):
            if not (edit.new and part.words[k].match):
                left.pop(k, None)
    return list(left.values())


def _place(parts: list[Part], k: int, edits: list[_Edit]) -> int:
    """Where aims may be said: at the end of a part, before whatever says in whose style."""
    for i, part in enumerate(parts[: k + 1]):
        style = part.style
        if style < len(part.words) and ((i and not style) or (i == k and part.words[style].start >= edits[0].end)):
            return part.words[style].start
    lists = ((part.after, after.words[:1]) for part, after in zip(parts[k:], parts[k + 1 :]))
    for sign, first in lists:
        if sign != "," or not first or first[0].kind != "conjunction":
            break
        k += 1
    return parts[k].end


def _goes_on(part: Part, prose: bool) -> bool:
    """Whether a part tells more of what is done in the sentence, rather than of the picture."""
    words = [word for word in part.words if word.kind != "adverb"]
    if not words or not part.style:
        return False
    more = words[0].kind in ("owner", "somebody", "conjunction", "link") or words[0].shows
    more = more or words[0].happens or words[0].text in ("with", "as", "after", "before", "to")
    return more or (prose and any(word.happens for word in words))


def _part(prompt: str, part: Part) -> tuple[list[_Edit], bool]:
    """A part's edits, and whether more was taken out of it than words that describe others."""
    edits: list[_Edit] = []
    removed, done = False, 0
    about = part.subject_end
    for i, word in enumerate(part.words):
        if word.match is None or i < done:
            continue
        concept = word.match.concept
        new = concept.counterpart
        noun = new is not None and not concept.verb and is_noun(new)
        before = part.words[i - 1] if i else None
        if _describes(prompt, part, i):
            said = before is not None and before.match is not None and before.match.concept.counterpart == new
            if new is not None and not (noun or said or "-" in prompt[word.match.end : word.end]):
                edits += _swap(prompt, part, i)
                continue
            if new is not None or i < about:
                edits.append(_dropped(part, i))
                continue
        elif len(part.words) == 1 and not noun and part.before + part.after in (",", ",,", ".", "..", ",.", ".,"):
            return [_Edit(part.start, part.end)], True  # what describes all of it, as the aims do
        elif before is not None and (
            (new in ("person", "figure") and _is_name(before) and _is_there(part, i))
            or (word.match.loose and i < about and new is None and before.kind in ("word", "determiner", "owner"))
        ):
            edits.append(_dropped(part, i))
            continue
        elif new is not None and (not noun or _is_there(part, i)):
            edits += _swap(prompt, part, i)
            continue
        start, done = _extent(part, i)
        removed = True
        while edits and edits[-1].end > part.words[start].start:
            edits.pop()
        edits += _cut(part, start, done)
    return edits, removed


def _is_name(word: Word) -> bool:
    return word.kind == "word" and word.match is None and kinds(word.text) == {"NOUN"} and word.text not in _NUMBERS


def _describes(prompt: str, part: Part, i: int) -> bool:
    """Whether a word only describes the next one: "nude" of "a nude man", "gun" of "a gun shop"."""
    words, k = part.words, i + 1
    match = words[i].match
    noun = match is not None and not match.concept.verb and is_noun(match.concept.term)
    if words[i].kind != "word" or prompt[words[i].end - 2 : words[i].end] in ("'s", "’s"):
        return False
    if k == len(words):
        return part.after == "," and not noun and i > 0 and words[i - 1].text in ("a", "an", "the")
    if words[k].kind == "conjunction" and k + 1 < len(words) and not noun:
        k += 1
    if words[k].kind != "word":
        more = words[k].match is not None or (k + 1 < len(words) and words[k + 1].kind == "word")
        return more and not noun and i > 0 and words[i - 1].text in ("a", "an", "the")
    what = kinds(words[k].text)
    if noun:
        verb = "VERB" in what and words[k].text.endswith("s") and k + 1 < len(words)
        thing = "NOUN" in what and not verb
        return thing or (words[k].text.isalpha() and not what) or bool(words[k].match) or words[k].text in _LIKE
    return not what or bool(what & {"NOUN", "ADJ"})


def _is_there(part: Part, i: int) -> bool:
    """Whether a thing is only there, as in "with a gun", "holding a gun": nothing is done with it or by it."""
    start = part.phrase_start(i)
    if not start:
        return True
    before = part.words[start - 1]
    if before.kind == "preposition":
        return before.text not in ("by", "at", "to", "from", "after", "before", "against", "into", "towards", "toward")
    return not before.happens


def _act(part: Part, end: int) -> int | None:
    """The first word before `end` of what is done, if anything is."""
    words = part.words
    start = part.happens
    if start >= end:
        return None
    while start and not words[start - 1].shows:
        before = words[start - 1]
        if before.kind != "adverb" and before.text not in _BEFORE_ACTS and kinds(before.text) != {"VERB"}:
            break
        start -= 1
    if start > 1 and words[start - 1].kind == "somebody" and words[start - 2].kind in ("preposition", "link"):
        start -= 2 + (start > 2 and words[start - 3].text == "just")
    only = part.phrase_start(start)
    if only and words[only - 1].shows and not any("NOUN" in kinds(word.text) for word in words[only:start]):
        start = only - (only > 1)
    return start


def _extent(part: Part, i: int) -> tuple[int, int]:
    """The words (first, after the last) that go with one that has to go."""
    words = part.words
    start = _act(part, i + 1)
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


def _setting(part: Part, i: int) -> int:
    """The first word after "in a park", if that is where something is; 0 if a word begins no such thing."""
    words = part.words
    if words[i].text not in _PLACES or i + 1 == len(words):
        return 0
    end = part.phrase_end(i)
    phrase = words[i + 1 : end]
    head = next((k for k, word in enumerate(phrase) if word.text == "of"), len(phrase))
    if (
        not phrase[:head]
        or phrase[head - 1].kind != "word"
        or any(w.match or w.kind in ("owner", "somebody") for w in phrase)
    ):
        return 0
    named = kinds(phrase[head - 1].text)
    if named and "NOUN" not in named:
        return 0
    known = phrase[0].kind == "determiner" or not kinds(phrase[0].text)
    return end if known and phrase[head - 1].text.rstrip("s") not in _BODY else 0


def _cut(part: Part, start: int, end: int, places: bool = True) -> list[_Edit]:
    """Takes words out, but for those that say where, and in whose style."""
    words, edits, i = part.words, [], start
    end = min(end, part.style) if part.style > start else end
    at = words[start].start
    while i < end:
        after = _setting(part, i) if places else 0
        if not after:
            i += 1
            continue
        edits.append(_Edit(at, words[i].end, _PLACES[words[i].text]) if i > start else _Edit(at, at))
        at, i = words[after - 1].end, after
    edits = [edit for edit in edits if edit.start < edit.end]
    if at < words[end - 1].end:
        edits.append(_Edit(at, words[end - 1].end))
    return edits


def _swap(prompt: str, part: Part, i: int) -> list[_Edit]:
    """A term's counterpart in its form, with the article that goes with it."""
    word, match = part.words[i], part.words[i].match
    assert match is not None and match.concept.counterpart is not None
    old, new = prompt[match.start : match.end], match.concept.counterpart
    verb, noun = match.concept.verb, is_noun(new)
    before = part.words[i - 1] if i else None
    new = inflected(new, _met_as(part, i)) if verb or (noun and match.form == "plural") else new
    many = match.form == "plural" or (noun and is_plural(new))
    if not verb and not noun and not _describes(prompt, part, i):
        if match.form == "plural":
            new = f"{new} people"
        elif before is not None and before.text in ("a", "an", "the"):
            new = f"{new} person"  # "a nude" is somebody
    new = _as_written(old, new)
    start, end = match.start, match.end
    if "-" in prompt[word.start : start]:
        start, end = word.start, word.end  # "half-naked"
    first = part.phrase_start(i)
    opens = part.words[first]
    bare = noun and not verb and not many and is_countable(new) and new[0].islower() and opens.kind == "word"
    if many and opens.text in ("a", "an"):
        return [_Edit(opens.start, opens.end), _Edit(start, end, new)]
    if bare and first and part.words[first - 1].text in _WITH:
        if first == i:
            return [_Edit(start, end, with_article(new))]
        says = opens.match.concept.counterpart if opens.match else opens.text
        return [_Edit(opens.start, opens.start, article(says or new)), _Edit(start, end, new)]
    return [_Edit(start, end, new)]


def _met_as(part: Part, i: int) -> Form:
    """The form of a term; a verb's first may be a noun ("the scream") or a participle ("was hit")."""
    match = part.words[i].match
    assert match is not None
    if match.concept.verb and not match.form and i:
        owned = part.words[i - 1].kind in ("determiner", "owner") or part.words[i - 1].text.endswith(("'s", "’s"))
        if owned and not is_noun(match.concept.counterpart or ""):
            return "VBG"
        if part.words[i - 1].text in ("be", "been", "being", "is", "was", "are", "were"):
            return "VBN"
    return match.form


def _as_written(old: str, new: str) -> str:
    """A text in the capitals of another."""
    letters = [c for c in old if c.isalpha()]
    if len(letters) > 1 and all(c.isupper() for c in letters):
        return new.upper()
    if letters and letters[0].isupper():
        title = sum(word[:1].isupper() for word in old.split()) == len(old.split()) > 1
        return " ".join(map(_capital, new.split())) if title else _capital(new)
    return new


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _dropped(part: Part, i: int) -> _Edit:
    """Without a word that describes the next, what makes it stronger, and the "and" that joins it to another."""
    words = part.words
    start = i
    while start and (words[start - 1].kind == "adverb" or words[start - 1].text in _VERY):
        start -= 1
    if start and words[start - 1].kind == "conjunction" and start > 1 and "ADJ" in kinds(words[start - 2].text):
        start -= 1
    end = i + 1 if i + 1 < len(words) and words[i + 1].text in _LIKE else i
    return _Edit(words[start].start, words[end].end)


def _applied(prompt: str, edits: list[_Edit], place: int, said: str) -> str:
    """The prompt with its edits, and with the aims where they are to be said."""
    mark = next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in prompt)
    place = next((edit.end for edit in edits if edit.start < place < edit.end), place)
    text = prompt
    for edit in [*reversed([e for e in edits if e.end > place]), None, *reversed([e for e in edits if e.end <= place])]:
        if edit is None:
            text = text[:place] + mark + text[place:]
        else:
            far = max(0, edit.start - _SEAM)
            text = text[:far] + _joined(text[far : edit.start], edit.new, text[edit.end :], mark)
    head, tail = text.split(mark)
    return _told(head, tail, said)


def _joined(before: str, new: str, after: str, mark: str) -> str:
    """Three pieces as one text, with nothing double, empty or dangling at the seams, and with the right article."""
    if new:
        before = _articled(before if new not in _PLACES else _DANGLING.sub("", before), new)
        gap = " " if before and before[-1].isalnum() else ""
        return before + gap + new + (" " if after[:1].isalnum() else "") + after
    marked = mark if after.lstrip(" ").startswith(mark) else ""
    before, after = before.rstrip(" "), after.lstrip(" " + mark)
    while before[-1:] and before[-1] in '([{"“' and (empty := _EMPTY.match(before[-1] + after)):
        before, after = before[:-1].rstrip(" "), after[empty.end() - 1 :].lstrip(" ")
    if not before or before[-1] in _OPEN + "\n,;.!?":
        after = after.lstrip(" ,;") if not before or before[-1] != "," else re.sub(r"^[\s,;]+", " ", after)
    if not after or after[0] in _CLOSE + ",.;:!?\n" or marked:
        while dangling := _DANGLING.search(before + " "):
            before = before[: dangling.start()].rstrip(" ")
    if before[-1:] in (",", ";") and (not after or after[0] in _CLOSE + ".;\n"):
        before = before[:-1]
    if not before or before[-1] in ".!?\n":
        after = after if not before and not after else _capital(after) if before else after
    before = _articled(before + " ", after).rstrip(" ")
    tight = not before or not after or before[-1] in _OPEN + "\n" or after[0] in _CLOSE + ",.;:!?\n '’"
    return before + marked + ("" if tight else " ") + after


def _articled(before: str, following: str) -> str:
    """A text with the article at its end that goes with what follows."""
    found = re.search(r"(?<![\w'’-])(an?)(\s+)$", before, re.IGNORECASE)
    if not found or not following[:1].isalpha():
        return before
    return before[: found.start()] + _as_written(found[1][0], article(following)) + found[2]


def _told(head: str, tail: str, said: str) -> str:
    """A text with aims between its two halves: outside of brackets and quotes, and as a clause of their own."""
    depth = sum(head.count(c) for c in _OPEN) - sum(head.count(c) for c in _CLOSE)
    if depth > 0 or head.count('"') % 2:
        closed = re.search(r'[)\]}”"]' if depth <= 1 else r".*[)\]}”\"]", tail)
        end = re.search(r"[,;!?\n]|[.:](?=\s|$)|$", tail[closed.end() :]) if closed else None
        here = closed.end() + end.start() if closed and end else len(tail)
        head, tail = head + tail[:here], tail[here:]
    if not said:
        return head + tail
    head, after = head.rstrip(" ,;"), tail.lstrip(" ")
    if not head:
        return f"{said}, {after.lstrip(' ,;.')}" if after.strip(" ,;.") else said
    if head[-1] in ".!?":
        return f"{head} {_capital(said)}. {_capital(after)}".rstrip(" ")
    if after[:1].isalnum() and not after.startswith(("BREAK", "AND ")):
        return f"{head}, {said}, {after}"
    gap = "" if not after or after[0] in ",;.!?:\n" else " "
    return f"{head}, {said}{gap}{after}"


def _once(text: str, counterparts: Iterable[str]) -> str:
    """The text with what stands twice in a row, "umbrellas and umbrellas", once."""
    for word in filter(None, counterparts):
        one = rf"(?:an? |the )?{re.escape(word)}(?:e?s)?"
        text = re.sub(rf"(?<!\w)({one})(?:(?:, and |, | and | or | ){one})+(?!\w)", r"\1", text, flags=re.IGNORECASE)
    return text
