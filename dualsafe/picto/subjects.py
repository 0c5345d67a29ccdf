"""The subjects: one body, drawn around its middle, that differs in head, skin and dress; the right arm is out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .pen import RGB, Pen

HAND = (19.0, 0.0)
"""Where an item is held, relative to the body's middle."""
TORSO = (0.0, 3.0)
"""Where an effect that covers the subject sits."""

_SKIN: RGB = (250, 205, 165)
_DARK: RGB = (45, 35, 40)


@dataclass(frozen=True)
class _Look:
    """Skin of head and arms, legs, whether a dress, and what is drawn behind and as the head."""

    skin: RGB
    legs: RGB
    head: Callable[[Pen], None]
    behind: Callable[[Pen], None] | None = None
    dress: bool = False


def _face(pen: Pen, skin: RGB, radius: float = 6.5) -> None:
    pen.circle(0, -12.5, radius, skin)


def _eyes(pen: Pen, fill: RGB = _DARK, y: float = -12.5, r: float = 1.0, gap: float = 2.5) -> None:
    pen.circle(-gap, y, r, fill)
    pen.circle(gap, y, r, fill)


def _man(pen: Pen) -> None:
    pen.circle(0, -14.0, 6.7, (60, 40, 25))
    pen.ellipse(0, -11.5, 6, 5.5, _SKIN)
    _eyes(pen)


def _woman(pen: Pen) -> None:
    pen.circle(0, -13.5, 7.6, (175, 75, 30))
    pen.rectangle(-7.6, -13.5, 7.6, -3, (175, 75, 30))
    pen.ellipse(0, -11.8, 5.2, 5.8, _SKIN)
    _eyes(pen)


def _robot(pen: Pen) -> None:
    pen.line(0, -19, 0, -24, 1.5, (90, 95, 105))
    pen.circle(0, -24, 1.8, (255, 80, 80))
    pen.rectangle(-7, -19, 7, -6, (165, 175, 185))
    pen.rectangle(-5, -15.5, 5, -11, (40, 45, 60))
    _eyes(pen, (90, 255, 240), y=-13.2, r=1.5)


def _alien(pen: Pen) -> None:
    pen.ellipse(0, -13, 7.5, 8, (135, 225, 95))
    pen.ellipse(-3.2, -12.5, 2.2, 3.3, (15, 15, 20))
    pen.ellipse(3.2, -12.5, 2.2, 3.3, (15, 15, 20))


def _cat(pen: Pen) -> None:
    fur = (150, 150, 158)
    pen.polygon([(-7, -12), (-6.5, -22), (-0.5, -17)], fur)
    pen.polygon([(7, -12), (6.5, -22), (0.5, -17)], fur)
    _face(pen, fur, 7)
    _eyes(pen, (60, 200, 80), r=1.5)
    pen.polygon([(-1.4, -10), (1.4, -10), (0, -8.4)], (255, 140, 160))


def _dog(pen: Pen) -> None:
    fur = (205, 150, 90)
    _face(pen, fur, 7)
    pen.ellipse(-7, -11.5, 2.6, 6, (120, 75, 40))
    pen.ellipse(7, -11.5, 2.6, 6, (120, 75, 40))
    _eyes(pen)
    pen.ellipse(0, -9, 2.2, 1.7, _DARK)


def _bear(pen: Pen) -> None:
    fur = (110, 70, 45)
    pen.circle(-5.5, -18, 3.2, fur)
    pen.circle(5.5, -18, 3.2, fur)
    _face(pen, fur, 7.3)
    pen.ellipse(0, -9.8, 3.6, 2.8, (215, 175, 135))
    _eyes(pen, (15, 10, 10), y=-14)


def _penguin(pen: Pen) -> None:
    _face(pen, (30, 32, 45), 7.2)
    pen.ellipse(0, -11.5, 4.8, 4.8, (250, 250, 250))
    _eyes(pen)
    pen.polygon([(-2.5, -10.5), (2.5, -10.5), (0, -7)], (255, 165, 30))


def _pirate(pen: Pen) -> None:
    _face(pen, _SKIN)
    pen.ellipse(0, -14, 7, 6.5, (200, 30, 45), 180, 360)
    pen.polygon([(-6, -15), (-11, -17), (-10, -11.5)], (200, 30, 45))
    pen.circle(2.5, -11.8, 2.1, _DARK)
    pen.circle(-2.5, -11.8, 1.0, _DARK)


def _soldier(pen: Pen) -> None:
    _face(pen, _SKIN)
    pen.ellipse(0, -13, 8.2, 8, (85, 100, 50), 180, 360)
    pen.rectangle(-9.2, -14, 9.2, -12.4, (60, 75, 35))
    _eyes(pen, y=-10.8)


def _vampire(pen: Pen) -> None:
    _face(pen, (225, 225, 238))
    pen.ellipse(0, -13.5, 6.8, 6, (20, 15, 25), 180, 360)
    pen.polygon([(-3, -14), (3, -14), (0, -10.5)], (20, 15, 25))
    _eyes(pen, (210, 20, 30), y=-11.8, r=1.2, gap=3)


def _vampire_cape(pen: Pen) -> None:
    pen.polygon([(-6, -9), (6, -9), (12, 20), (-12, 20)], (25, 15, 30))


def _detective(pen: Pen) -> None:
    _face(pen, _SKIN)
    pen.rectangle(-10, -15.5, 10, -13.2, (130, 95, 55))
    pen.polygon([(-6.2, -15.5), (6.2, -15.5), (5, -22), (-5, -22)], (130, 95, 55))
    pen.rectangle(-6, -17, 6, -15.5, (50, 35, 25))
    _eyes(pen, y=-11.3)


def _necromancer(pen: Pen) -> None:
    pen.ellipse(0, -12, 8, 9, (50, 25, 75))
    pen.polygon([(-6, -18), (6, -18), (0, -27)], (50, 25, 75))
    pen.ellipse(0, -11.5, 5, 6, (20, 12, 30))
    _eyes(pen, (130, 255, 90), r=1.4)


def _dragon(pen: Pen) -> None:
    scales = (40, 160, 130)
    pen.polygon([(-6, -16), (-8, -24), (-2, -18)], (240, 225, 170))
    pen.polygon([(6, -16), (8, -24), (2, -18)], (240, 225, 170))
    _face(pen, scales, 7)
    pen.ellipse(2.5, -9.5, 5.5, 3.2, (110, 205, 165))
    _eyes(pen, (255, 225, 40), y=-14.5, r=1.6)


def _dragon_wings(pen: Pen) -> None:
    pen.polygon([(-5, 0), (-15, -13), (-17, 8)], (25, 110, 95))


_LOOKS: dict[str, _Look] = {
    "man": _Look(_SKIN, (45, 50, 80), _man),
    "woman": _Look(_SKIN, _SKIN, _woman, dress=True),
    "robot": _Look((165, 175, 185), (110, 118, 130), _robot),
    "alien": _Look((135, 225, 95), (90, 175, 65), _alien),
    "cat": _Look((150, 150, 158), (120, 120, 128), _cat),
    "dog": _Look((205, 150, 90), (165, 110, 60), _dog),
    "bear": _Look((110, 70, 45), (85, 52, 32), _bear),
    "penguin": _Look((30, 32, 45), (255, 165, 30), _penguin),
    "pirate": _Look(_SKIN, (85, 55, 35), _pirate),
    "soldier": _Look(_SKIN, (85, 100, 50), _soldier),
    "vampire": _Look((225, 225, 238), (30, 25, 40), _vampire, _vampire_cape),
    "detective": _Look(_SKIN, (130, 95, 55), _detective),
    "necromancer": _Look((50, 25, 75), (50, 25, 75), _necromancer, dress=True),
    "dragon": _Look((40, 160, 130), (30, 125, 100), _dragon, _dragon_wings),
}


def draw_subject(pen: Pen, subject: str, colour: RGB) -> None:
    """Draws `subject` dressed in `colour` around the pen's origin, about 22 wide and 46 high."""
    look = _LOOKS[subject]
    if look.behind:
        look.behind(pen)
    pen.rectangle(-5.5, 12, -1, 24, look.legs)
    pen.rectangle(1, 12, 5.5, 24, look.legs)
    pen.line(-7, -3, -10, 9, 3.6, look.skin)
    pen.line(6, -2, 15, 1, 3.6, look.skin)
    if look.dress:
        pen.polygon([(-5.5, -6), (5.5, -6), (10.5, 17), (-10.5, 17)], colour)
    else:
        pen.polygon([(-7.5, -6), (7.5, -6), (7.5, 14), (-7.5, 14)], colour)
    look.head(pen)
