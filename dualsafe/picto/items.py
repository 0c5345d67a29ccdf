"""The items, one function each, drawn around the hand (or the torso, for what covers the subject), about 20 wide."""

from __future__ import annotations

from collections.abc import Callable

from .pen import RGB, Pen

_STEEL: RGB = (185, 195, 205)
_BLACK: RGB = (22, 22, 28)
_WOOD: RGB = (110, 65, 35)
_RED: RGB = (225, 35, 40)


def knife(pen: Pen) -> None:
    pen.rectangle(-2, 1, 2, 9, (60, 35, 25))
    pen.rectangle(-4, 0, 4, 2, _BLACK)
    pen.polygon([(-3, 0), (3, 0), (3, -7), (-3, -13)], _STEEL)


def spoon(pen: Pen) -> None:
    pen.rectangle(-1.4, -4, 1.4, 9, _STEEL)
    pen.ellipse(0, -7.5, 4.2, 5.2, _STEEL)
    pen.ellipse(0, -7.5, 2.6, 3.6, (130, 140, 152))


def gun(pen: Pen) -> None:
    pen.polygon([(-6, -1), (0, -1), (-2, 9), (-8, 9)], _BLACK)
    pen.rectangle(-7, -6, 11, 0, _BLACK)
    pen.rectangle(0, 0, 3, 3.5, (70, 70, 78))


def water_gun(pen: Pen) -> None:
    pen.polygon([(-6, -1), (0, -1), (-2, 9), (-8, 9)], (40, 205, 90))
    pen.rectangle(-7, -6, 8, 0, (40, 205, 90))
    pen.circle(-2, -8, 4, (50, 180, 250))
    pen.rectangle(8, -5, 11, -1, (255, 140, 30))
    pen.circle(0, 2, 1.6, (255, 140, 30))


def bomb(pen: Pen) -> None:
    pen.line(3, -6, 7, -11, 2, (150, 120, 80))
    pen.circle(7.5, -11.5, 2.8, (255, 180, 30))
    pen.circle(0, 0, 8, _BLACK)
    pen.circle(-3, -3, 1.8, (120, 120, 130))


def ball(pen: Pen) -> None:
    pen.circle(0, 0, 8, (250, 250, 250))
    for start, fill in ((0, (230, 60, 60)), (120, (40, 110, 230)), (240, (250, 205, 40))):
        pen.ellipse(0, 0, 8, 8, fill, start, start + 60)


def cigarette(pen: Pen) -> None:
    pen.line(-8, 5, -2, 2, 4.5, (225, 140, 60))
    pen.line(-2, 2, 7, -2.5, 4.5, (252, 252, 252))
    pen.line(7, -2.5, 9.5, -3.8, 4.5, (255, 60, 20))
    for x, y, r in ((8, -8, 2.0), (6, -11, 2.4)):
        pen.circle(x, y, r, (140, 140, 145))


def lollipop(pen: Pen) -> None:
    pen.rectangle(-1.3, -2, 1.3, 10, (235, 225, 205))
    pen.circle(0, -6, 6.5, (245, 90, 170))
    pen.circle(0, -6, 4.4, (255, 225, 240))
    pen.circle(0, -6, 2.2, (245, 90, 170))


def syringe(pen: Pen) -> None:
    pen.line(-10, 5, -6, 3, 2.2, (90, 95, 105))
    pen.line(-11, 2.5, -8.6, 7, 2.2, (90, 95, 105))
    pen.line(-6, 3, 5, -2.5, 6.5, (120, 215, 225))
    pen.line(-6, 3, -1, 0.5, 6.5, (235, 245, 248))
    pen.line(5, -2.5, 12, -6, 1.8, (80, 85, 95))


def pen_(pen: Pen) -> None:
    pen.line(-9, 5, 5, -2.5, 4.5, (35, 55, 190))
    pen.line(-9, 5, -4, 2.3, 5.4, (20, 25, 90))
    pen.polygon([(4, -4.4), (6, -0.8), (10, -5.2)], (245, 200, 70))


def _flag(pen: Pen, field: RGB) -> None:
    pen.rectangle(-6.5, -12, -4.5, 10, _WOOD)
    pen.rectangle(-4.5, -12, 10, -1, field)


def hate_flag(pen: Pen) -> None:
    _flag(pen, _BLACK)
    pen.polygon([(-2, -10), (4, -8), (2, -6.5), (8, -3), (1.5, -4.5), (3, -6)], (255, 225, 30))
    pen.line(-2, -3, 8, -10, 1.6, (255, 225, 30))


def heart_flag(pen: Pen) -> None:
    _flag(pen, (250, 250, 250))
    pen.circle(1.0, -7.8, 2.2, _RED)
    pen.circle(4.6, -7.8, 2.2, _RED)
    pen.polygon([(-1.1, -7.2), (6.7, -7.2), (2.8, -2.6)], _RED)


def skull(pen: Pen) -> None:
    bone = (240, 238, 225)
    pen.ellipse(0, -3, 8, 7.5, bone)
    pen.rectangle(-4.5, 2, 4.5, 8, bone)
    pen.circle(-3.3, -2.5, 2.4, _BLACK)
    pen.circle(3.3, -2.5, 2.4, _BLACK)
    pen.polygon([(-1.2, 2.8), (1.2, 2.8), (0, 0.4)], _BLACK)
    for x in (-2, 0.6):
        pen.rectangle(x, 5, x + 1.1, 8, _BLACK)


def pumpkin(pen: Pen) -> None:
    pen.rectangle(-1.4, -10, 1.4, -5, (60, 130, 50))
    pen.ellipse(0, 0, 9, 7.5, (245, 125, 20))
    pen.polygon([(-5, -1), (-1.6, -1), (-3.3, -4.4)], _BLACK)
    pen.polygon([(5, -1), (1.6, -1), (3.3, -4.4)], _BLACK)
    pen.ellipse(0, 1.5, 5, 4, _BLACK, 0, 180)


def fire(pen: Pen) -> None:
    pen.polygon(
        [(-8, 6), (-9, -3), (-5, -7), (-4, -3), (0, -14), (4, -4), (7, -8), (9, -1), (7, 6), (3, 10), (-4, 10)],
        (235, 60, 20),
    )
    pen.polygon([(-5, 6), (-5, 0), (0, -7), (5, 1), (4, 7), (0, 9)], (255, 150, 25))
    pen.ellipse(0, 5, 2.6, 4, (255, 235, 90))


def lantern(pen: Pen) -> None:
    pen.line(-4, -7, 0, -11, 1.6, (75, 60, 50))
    pen.line(4, -7, 0, -11, 1.6, (75, 60, 50))
    pen.rectangle(-6, -8, 6, -5, (75, 60, 50))
    pen.rectangle(-5, -5, 5, 6, (255, 225, 100))
    pen.rectangle(-0.8, -5, 0.8, 6, (75, 60, 50))
    pen.rectangle(-6, 6, 6, 9, (75, 60, 50))


def blood(pen: Pen) -> None:
    dark = (120, 0, 18)
    pen.polygon([(-7, -7), (5, -8), (7, -1), (3, 3), (-2, 2), (-7, 4)], dark)
    for x, top, bottom in ((-5, 1, 12), (-0.5, 0, 9), (4, 0, 14)):
        pen.rectangle(x - 1.3, top, x + 1.3, bottom, dark)
        pen.circle(x, bottom, 1.7, dark)
    pen.ellipse(1, 21.5, 9, 2.2, dark)


def red_paint(pen: Pen) -> None:
    bright = (255, 70, 60)
    for x, y, r in ((-4, -4, 3.4), (3.5, -1.5, 3.0), (-2.5, 5, 3.2), (4, 7, 2.4), (0, 1, 2)):
        pen.circle(x, y, r, bright)
    pen.rectangle(14, -4, 24, 6, (235, 235, 240))
    pen.ellipse(19, -4, 5, 2, bright)
    pen.rectangle(20.5, -4, 23, 2, bright)


def flower(pen: Pen) -> None:
    pen.rectangle(-1.1, -2, 1.1, 10, (40, 140, 50))
    pen.ellipse(3.4, 5, 3, 1.5, (40, 140, 50))
    for x, y in ((0, -10), (4.6, -7), (3, -1.8), (-3, -1.8), (-4.6, -7)):
        pen.circle(x, y, 3.1, (250, 120, 190))
    pen.circle(0, -5.6, 2.8, (255, 220, 60))


def balloon(pen: Pen) -> None:
    pen.rectangle(-0.7, 0, 0.7, 10, (90, 90, 90))
    pen.ellipse(0, -6.5, 6.8, 8, (220, 40, 150))
    pen.ellipse(-2.4, -9, 1.6, 2.4, (250, 170, 215))


def book(pen: Pen) -> None:
    pen.rectangle(-9, -6, 9, 6.5, (0, 130, 140))
    pen.rectangle(-7.5, -4.5, -0.5, 5, (252, 250, 240))
    pen.rectangle(0.5, -4.5, 7.5, 5, (252, 250, 240))
    for y in (-2.5, 0, 2.5):
        pen.rectangle(-6.3, y, -1.7, y + 0.9, (130, 130, 130))
        pen.rectangle(1.7, y, 6.3, y + 0.9, (130, 130, 130))


def umbrella(pen: Pen) -> None:
    pen.rectangle(-1, -5, 1, 9, (70, 50, 40))
    pen.ellipse(0, -3.5, 11, 9, (30, 60, 150), 180, 360)
    pen.ellipse(0, -3.5, 4, 9, (240, 210, 70), 180, 360)


def apple(pen: Pen) -> None:
    pen.line(0, -4, 1, -9, 1.6, _WOOD)
    pen.ellipse(4, -8, 3, 1.6, (70, 180, 60))
    pen.circle(-2.6, 0.5, 5.4, _RED)
    pen.circle(2.6, 0.5, 5.4, _RED)


DRAW_ITEM: dict[str, Callable[[Pen], None]] = {
    f.__name__.rstrip("_").replace("_", " "): f
    for f in (
        *(knife, spoon, gun, water_gun, bomb, ball, cigarette, lollipop, syringe, pen_, hate_flag, heart_flag),
        *(skull, pumpkin, fire, lantern, blood, red_paint, flower, balloon, book, umbrella, apple),
    )
}
