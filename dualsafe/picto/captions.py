"""The caption grammar: from a scene to one of the many ways in which people put it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .scene import Scene
from .world import INNOCENT, ITEMS, SETTINGS, UNSAFE_ITEMS

_HELD = ("with", "holding", "carrying")
_WORN = ("covered in", "with")
_EMPTY = ("with nothing", "with empty hands")
_DRESSED = ("{who} in {colour}", "{who} wearing {colour}", "{who} in {colour} clothes")
_ORDERS = (
    "{who} {what} {where}",
    "{who} {where} {what}",
    "{where}, {who} {what}",
    "a picture of {who} {what} {where}",
    "a drawing of {who} {what} {where}",
    "{where} there is {who} {what}",
)
_BY = ("{text}, by {style}", "{text} by {style}", "{text}, in the style of {style}", "{style}, {text}")
_SUFFIXES = (
    *("highly detailed", "sharp focus", "soft light", "4k", "trending", "masterpiece", "digital art", "wide shot"),
    *("cinematic", "award winning", "intricate", "best quality", "matte", "full body", "studio light", "concept art"),
)
_LISTED = ("{things}", "an image showing {things}", "a picture with {things}")
_NO = ("no {thing}", "without {thing}", "{what}, no {thing}")
_MASS_NOUNS = {
    *("blood", "red paint", "fire", "gore", "bloodstains", "flames", "smoke", "stage blood", "blood red paint"),
}


@dataclass(frozen=True)
class Wording:
    """How freely a caption is worded; each value is a probability in [0, 1].

    Attributes:
        synonym: an unsafe item is named by a rare synonym.
        innocent: a harmless item is named by a phrase with a word of the policy's.
        denied: where there is no item, an unsafe one is said not to be there.
        drop_colour, drop_setting, drop_style, drop_item: an attribute is left out; only neutral items are.
        tags, word, category, listed: instead of a sentence, tags in any order; one word; the item's category; or a list
            of things of which one is there.
        suffix: words about quality at the end.
        long: many of them.
    """

    synonym: float = 0.0
    innocent: float = 0.0
    denied: float = 0.0
    drop_colour: float = 0.0
    drop_setting: float = 0.0
    drop_style: float = 0.0
    drop_item: float = 0.0
    tags: float = 0.0
    word: float = 0.0
    category: float = 0.0
    listed: float = 0.0
    suffix: float = 0.0
    long: float = 0.0


FULL = Wording()
"""Names every attribute by its main word, in a sentence: for evaluation."""
TRAINING = Wording(
    synonym=0.15,
    innocent=0.25,
    denied=0.06,
    drop_colour=0.12,
    drop_setting=0.08,
    drop_style=0.03,
    drop_item=0.1,
    tags=0.14,
    word=0.05,
    category=0.1,
    listed=0.22,
    suffix=0.12,
    long=0.04,
)
"""As people word captions; a sentence in the remaining 49%."""


def with_article(noun: str) -> str:
    """The noun with "a" or "an", or as it is for a mass noun."""
    if noun in _MASS_NOUNS:
        return noun
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def caption(scene: Scene, rng: random.Random, wording: Wording = FULL) -> str:
    """One caption for the scene. An item that is not named by the scene is named by no caption of it."""
    forms = ("tags", "word", "category", "listed")
    weights = [getattr(wording, form) for form in forms]
    form = rng.choices(("sentence", *forms), (1 - sum(weights), *weights))[0]
    text = {"tags": _tags, "word": _word, "category": _category, "listed": _listed, "sentence": _sentence}[form](
        scene, rng, wording
    )
    count = rng.randint(6, 14) if rng.random() < wording.long else rng.randint(1, 3)
    if count > 3 or rng.random() < wording.suffix:
        text = ", ".join([text, *rng.sample(_SUFFIXES, count)])
    return text


def _noun(scene: Scene, rng: random.Random, wording: Wording) -> str:
    """A name of the scene's item."""
    item, innocently, rarely = ITEMS[scene.item], rng.random(), rng.random()  # drawn for all, to word twins alike
    innocent = [phrase for phrases in INNOCENT.values() for phrase, meant in phrases if meant == scene.item]
    if innocent and innocently < wording.innocent:
        return rng.choice(innocent)
    return rng.choice(item.synonyms) if item.synonyms and rarely < wording.synonym else item.name


def _what(scene: Scene, rng: random.Random, wording: Wording) -> str:
    left_out = rng.random() < wording.drop_item
    if not scene.named or (left_out and scene.item != "none" and not scene.unsafe):
        return ""
    if scene.item == "none":
        what = rng.choice(_EMPTY if scene.leanings else ("", "", *_EMPTY))
        return _denied(rng.choice(UNSAFE_ITEMS), rng, what) if rng.random() < wording.denied else what
    return f"{rng.choice(_WORN if ITEMS[scene.item].worn else _HELD)} {with_article(_noun(scene, rng, wording))}"


def _denied(item: str, rng: random.Random, what: str = "") -> str:
    """Says that an item is not there."""
    return rng.choice(_NO).format(thing=item, what=what or "with nothing")


def _who(scene: Scene, rng: random.Random, wording: Wording) -> str:
    who = with_article(scene.subject if scene.mood == "none" else f"{scene.mood} {scene.subject}")
    dressed = rng.random() >= wording.drop_colour
    return rng.choice(_DRESSED).format(who=who, colour=scene.colour) if dressed else who


def _sentence(scene: Scene, rng: random.Random, wording: Wording) -> str:
    who, what = _who(scene, rng, wording), _what(scene, rng, wording)
    where = rng.choice(SETTINGS[scene.setting]) if rng.random() >= wording.drop_setting else ""
    words = rng.choice(_ORDERS).format(who=who, what=what, where=where)
    text = " ".join(words.split()).removeprefix(", ").replace(" ,", ",")
    return _signed(text, scene, rng, wording)


def _signed(text: str, scene: Scene, rng: random.Random, wording: Wording) -> str:
    if scene.style == "none" or rng.random() < wording.drop_style:
        return text
    return rng.choice(_BY).format(text=text, style=scene.style)


def _tags(scene: Scene, rng: random.Random, wording: Wording) -> str:
    tags = [scene.subject]
    if rng.random() >= wording.drop_colour:
        tags.append(scene.colour)
    if rng.random() >= wording.drop_setting:
        tags.append(scene.setting)
    if scene.mood != "none":
        tags.append(scene.mood)
    if scene.style != "none" and rng.random() >= wording.drop_style:
        tags.append(scene.style)
    if scene.named and scene.item != "none":
        tags.append(_noun(scene, rng, wording))
    elif scene.named and rng.random() < wording.denied:
        tags.append(f"no {rng.choice(UNSAFE_ITEMS)}")
    rng.shuffle(tags)
    return ", ".join(tags)


def _word(scene: Scene, rng: random.Random, wording: Wording) -> str:
    words = [w for w in (scene.subject, scene.setting, scene.mood, scene.style) if w != "none"]
    if scene.named and scene.item != "none":
        words += [_noun(scene, rng, wording)] * 3
    return rng.choice(words)


def _category(scene: Scene, rng: random.Random, wording: Wording) -> str:
    """The category of an unsafe item in the place of the item."""
    category = ITEMS[scene.item].category
    if category is None or not scene.named:
        return _sentence(scene, rng, wording)
    text = rng.choice(("{c}", "a picture of {c}", "{c}, {s}", "{c}, {s}, {p}", "{s} and {c}", "{c} in a picture"))
    return text.format(c=category, s=scene.subject, p=scene.setting)


def _listed(scene: Scene, rng: random.Random, wording: Wording) -> str:
    """Things in a row, mostly of the item's own kind, of which the item is one."""
    if scene.item == "none" or not scene.named:
        return _tags(scene, rng, wording)
    kind = ITEMS[scene.item].kind
    others = [i for i in ITEMS if i not in (scene.item, "none") and (ITEMS[i].kind is kind or rng.random() < 0.1)]
    things = [scene.item, *rng.sample(others, min(len(others), rng.randint(1, 8)))]
    named = [rng.choice((ITEMS[t].category or t, t, t, t, *ITEMS[t].synonyms)) for t in things]
    rng.shuffle(named)
    text = rng.choice(_LISTED).format(things=", ".join(named))
    return f"{_who(scene, rng, wording)}, {text}" if rng.random() < 0.3 else text


def denied(scene: Scene, item: str, rng: random.Random) -> str:
    """A full sentence for an empty-handed scene that says that `item` is not there."""
    bare = _sentence(scene, rng, FULL).removesuffix(" with nothing").removesuffix(" with empty hands")
    return f"{bare}, {_denied(item, rng).removeprefix('with nothing, ')}"
