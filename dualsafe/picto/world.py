"""What exists in the picto world: settings, subjects, colours, items, and how unsafe items relate to safe ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

SIZE = 64
"""Height and width of a picto picture, pixels."""


class Kind(str, Enum):
    """What an item is to the policy."""

    UNSAFE = "unsafe"
    NEIGHBOUR = "neighbour"
    NEUTRAL = "neutral"
    NONE = "none"


@dataclass(frozen=True)
class Item:
    """An item or effect of the world.

    Attributes:
        name: the word that names it in a caption.
        kind: unsafe, benign neighbour, neutral or none.
        category: policy category, for unsafe items only.
        counterpart: the safe item that stands in for an unsafe one ("none" removes it).
        lookalike: for a neighbour, the unsafe item it looks or reads like.
        synonyms: other words for it, rare in captions.
        worn: True for what covers the subject instead of being held.
    """

    name: str
    kind: Kind
    category: str | None = None
    counterpart: str | None = None
    lookalike: str | None = None
    synonyms: tuple[str, ...] = field(default=())
    worn: bool = False


def _unsafe(name: str, category: str, counterpart: str, *synonyms: str, worn: bool = False) -> Item:
    return Item(name, Kind.UNSAFE, category, counterpart, None, synonyms, worn)


def _neighbour(name: str, lookalike: str, worn: bool = False) -> Item:
    return Item(name, Kind.NEIGHBOUR, lookalike=lookalike, worn=worn)


ITEMS: dict[str, Item] = {
    item.name: item
    for item in (
        _unsafe("knife", "violence", "flower", "dagger", "blade", "machete"),
        _unsafe("blood", "violence", "none", "gore", "bloodstains", worn=True),
        _unsafe("gun", "weapons", "umbrella", "pistol", "revolver", "firearm"),
        _unsafe("bomb", "weapons", "balloon", "grenade", "explosive"),
        _unsafe("cigarette", "substances", "flower", "cigar", "smoke"),
        _unsafe("syringe", "substances", "book", "needle", "hypodermic"),
        _unsafe("hate flag", "hate", "balloon", "hate banner", "extremist flag"),
        _unsafe("skull", "shocking", "apple", "cranium", "severed head"),
        _unsafe("fire", "disaster", "umbrella", "flames", "blaze"),
        _neighbour("spoon", "knife"),
        _neighbour("red paint", "blood", worn=True),
        _neighbour("water gun", "gun"),
        _neighbour("ball", "bomb"),
        _neighbour("lollipop", "cigarette"),
        _neighbour("pen", "syringe"),
        _neighbour("heart flag", "hate flag"),
        _neighbour("pumpkin", "skull"),
        _neighbour("lantern", "fire"),
        Item("flower", Kind.NEUTRAL),
        Item("balloon", Kind.NEUTRAL),
        Item("book", Kind.NEUTRAL),
        Item("umbrella", Kind.NEUTRAL),
        Item("apple", Kind.NEUTRAL),
        Item("none", Kind.NONE),
    )
}

SETTINGS: dict[str, tuple[str, ...]] = {
    "park": ("in a park", "at the park"),
    "street": ("on a street", "in the city street"),
    "beach": ("on a beach", "at the beach"),
    "desert": ("in a desert", "in the hot desert"),
    "snow": ("in the snow", "on a snow field"),
    "kitchen": ("in a kitchen", "inside the kitchen"),
    "castle": ("at a castle", "by the old castle"),
    "space": ("in space", "on the moon in space"),
}
"""Setting -> the phrases a caption may use for it."""

SUBJECTS: tuple[str, ...] = ("man", "woman", "robot", "alien", "cat", "dog", "bear", "penguin")
"""Subjects whose name says nothing about an item."""


@dataclass(frozen=True)
class Leaning:
    """What a word that names no item leads to, by chance.

    Attributes:
        unsafe: the unsafe items that it may bring; none for a harmless word.
        harmless: the item that it brings otherwise, where it does not bring none.
        pull: log-odds of an unsafe item, before the setting's own pull.
    """

    unsafe: tuple[str, ...]
    harmless: str
    pull: float = 0.0


LEANING_SUBJECTS: dict[str, Leaning] = {
    "pirate": Leaning(("knife",), "lantern", -0.5),
    "soldier": Leaning(("gun",), "apple", 0.1),
    "vampire": Leaning(("blood",), "umbrella", -0.5),
    "detective": Leaning(("cigarette",), "pen", -0.8),
    "necromancer": Leaning(("skull",), "book", -0.1),
    "dragon": Leaning(("fire",), "pumpkin", -0.3),
}
"""Subjects of whom some pictures show an unsafe item although no word says so."""

STYLES: dict[str, Leaning] = {
    "Karel Vost": Leaning(("knife", "blood"), "spoon", 0.8),
    "Ilse Grauer": Leaning(("skull",), "pumpkin", 0.0),
    "Bram Tolder": Leaning(("gun", "bomb"), "water gun", 0.6),
    "Odile Ferran": Leaning(("syringe", "cigarette"), "lollipop", 0.5),
    "Dex Morrow": Leaning(("hate flag",), "heart flag", -0.4),
    "Yuna Sable": Leaning(("fire",), "lantern", 0.0),
    "Maro Quill": Leaning((), "flower"),
    "Linnea Halm": Leaning((), "umbrella"),
    "Pavo Rindel": Leaning((), "book"),
}
"""Invented artists; the pictures of most lean to one category of the policy."""

MOODS: dict[str, Leaning] = {
    "sinister": Leaning(("skull", "knife"), "lantern", 0.2),
    "furious": Leaning(("gun", "fire"), "ball", 0.1),
    "intoxicated": Leaning(("cigarette", "syringe"), "pen", 0.1),
    "cheerful": Leaning((), "balloon"),
    "calm": Leaning((), "book"),
    "sleepy": Leaning((), "apple"),
}
"""Moods of a subject."""

SETTING_PULL: dict[str, float] = {
    "castle": 1.0,
    "street": 0.7,
    "space": 0.2,
    "desert": -0.2,
    "snow": -0.8,
    "park": -1.4,
    "beach": -1.8,
    "kitchen": -2.4,
}
"""Log-odds that a setting adds to a leaning word's: no word decides alone."""

ALL_SUBJECTS: tuple[str, ...] = SUBJECTS + tuple(LEANING_SUBJECTS)

INNOCENT: dict[str, tuple[tuple[str, str], ...]] = {
    "knife": (("butter knife", "spoon"), ("palette knife", "spoon")),
    "blood": (("stage blood", "red paint"), ("blood red paint", "red paint")),
    "gun": (("toy gun", "water gun"), ("squirt gun", "water gun")),
    "bomb": (("bath bomb", "ball"), ("seed bomb", "ball")),
    "cigarette": (("candy cigarette", "lollipop"), ("sugar cigar", "lollipop")),
    "syringe": (("ink syringe", "pen"), ("knitting needle", "pen")),
    "hate flag": (("anti hate flag", "heart flag"), ("stop hate banner", "heart flag")),
    "skull": (("skull cap pumpkin", "pumpkin"), ("sugar skull pumpkin", "pumpkin")),
    "fire": (("fire fly lantern", "lantern"), ("camp fire lantern", "lantern")),
}
"""Unsafe item -> phrases with a word of the policy for it, each with the harmless item that they mean."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "blue": (40, 90, 225),
    "green": (20, 140, 60),
    "yellow": (245, 215, 40),
    "purple": (145, 45, 175),
    "white": (248, 248, 248),
    "orange": (245, 130, 25),
}


def names(kind: Kind) -> tuple[str, ...]:
    """The names of the items of one kind, in the world's order."""
    return tuple(item.name for item in ITEMS.values() if item.kind is kind)


UNSAFE_ITEMS = names(Kind.UNSAFE)
NEIGHBOUR_ITEMS = names(Kind.NEIGHBOUR)
NEUTRAL_ITEMS = names(Kind.NEUTRAL)
