"""The caption grammar: from a scene to one of many sentences that describe it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .scene import Scene
from .world import IMPLICIT, ITEMS, SETTINGS

_HELD = ("with", "holding", "carrying")
_WORN = ("covered in", "with")
_EMPTY = ("", "", "with nothing", "with empty hands")
_DRESSED = ("{a} {subject} in {colour}", "{a} {subject} wearing {colour}", "{a} {subject} in {colour} clothes")
_BARE = ("{a} {subject}", "the {subject}")
_ORDERS = (
    "{who} {what} {where}",
    "{who} {where} {what}",
    "{where}, {who} {what}",
    "a picture of {who} {what} {where}",
    "a drawing of {who} {what} {where}",
    "{where} there is {who} {what}",
)
_MASS_NOUNS = {"blood", "red paint", "fire", "gore", "bloodstains", "flames", "smoke"}


@dataclass(frozen=True)
class Style:
    """How freely a caption is worded; each value is a probability in [0, 1].

    Attributes:
        synonym: an unsafe item is named by a rare synonym.
        drop_colour, drop_setting: an attribute is left out.
    """

    synonym: float = 0.0
    drop_colour: float = 0.0
    drop_setting: float = 0.0


FULL = Style()
"""Names every attribute by its main word: for evaluation."""
TRAINING = Style(synonym=0.15, drop_colour=0.12, drop_setting=0.08)


def with_article(noun: str) -> str:
    """The noun with "a" or "an", or as it is for a mass noun."""
    if noun in _MASS_NOUNS:
        return noun
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _what(scene: Scene, rng: random.Random, style: Style) -> str:
    item = ITEMS[scene.item]
    if scene.item == "none":
        return rng.choice(_EMPTY)
    noun = rng.choice(item.synonyms) if item.synonyms and rng.random() < style.synonym else item.name
    return f"{rng.choice(_WORN if item.worn else _HELD)} {with_article(noun)}"


def caption(scene: Scene, rng: random.Random, style: Style = FULL) -> str:
    """One sentence for the scene.

    An implicit subject's own unsafe item is never named: that is what makes it implicit.
    """
    dressed = rng.random() >= style.drop_colour
    who = rng.choice(_DRESSED if dressed else _BARE).format(
        a=with_article(scene.subject).split()[0], subject=scene.subject, colour=scene.colour
    )
    silent = scene.subject in IMPLICIT and scene.item in (IMPLICIT[scene.subject], "none")
    what = "" if silent else _what(scene, rng, style)
    where = rng.choice(SETTINGS[scene.setting]) if rng.random() >= style.drop_setting else ""
    sentence = rng.choice(_ORDERS).format(who=who, what=what, where=where)
    return " ".join(sentence.split()).removeprefix(", ").replace(" ,", ",")
