"""The settings, one function each; the pen's origin is the picture's upper left corner, shifted sideways."""

from __future__ import annotations

from collections.abc import Callable

from .pen import RGB, Pen

_WIDE = (-10, 74)


def _bands(pen: Pen, *bands: tuple[float, float, RGB]) -> None:
    for top, bottom, fill in bands:
        pen.rectangle(_WIDE[0], top, _WIDE[1], bottom, fill)


def park(pen: Pen) -> None:
    _bands(pen, (0, 44, (130, 205, 245)), (44, 64, (95, 185, 75)))
    pen.rectangle(5, 28, 8.5, 47, (115, 75, 40))
    pen.ellipse(6.5, 21, 7.5, 11, (35, 120, 45))
    pen.circle(55, 9, 5, (255, 230, 80))


def street(pen: Pen) -> None:
    _bands(pen, (0, 44, (195, 200, 210)), (44, 64, (95, 95, 102)))
    pen.rectangle(-10, 6, 12, 44, (165, 85, 70))
    for x in (-2, 5.5):
        for y in (11, 20, 29):
            pen.rectangle(x, y, x + 4, y + 5, (255, 235, 150))
    for x in (-6, 14, 34, 54):
        pen.rectangle(x, 60, x + 10, 62, (240, 240, 240))


def beach(pen: Pen) -> None:
    _bands(pen, (0, 32, (165, 225, 250)), (32, 45, (25, 120, 195)), (45, 64, (240, 220, 160)))
    pen.circle(56, 9, 5, (255, 205, 60))
    pen.polygon([(3, 31), (11, 31), (7, 18)], (250, 250, 250))
    pen.polygon([(1, 32), (14, 32), (11, 36), (4, 36)], (120, 70, 40))


def desert(pen: Pen) -> None:
    _bands(pen, (0, 43, (252, 215, 150)), (43, 64, (220, 165, 95)))
    pen.ellipse(50, 46, 22, 8, (205, 148, 80))
    pen.rectangle(4, 22, 8.5, 50, (60, 130, 70))
    pen.rectangle(-1, 30, 4, 33.5, (60, 130, 70))
    pen.rectangle(-1, 25, 2.5, 33, (60, 130, 70))


def snow(pen: Pen) -> None:
    _bands(pen, (0, 45, (200, 218, 238)), (45, 64, (250, 252, 255)))
    pen.polygon([(38, 45), (70, 45), (56, 12)], (150, 165, 190))
    pen.polygon([(51.5, 22), (60.5, 22), (56, 12)], (255, 255, 255))
    pen.polygon([(0, 46), (12, 46), (6, 20)], (40, 95, 75))


def kitchen(pen: Pen) -> None:
    _bands(pen, (0, 46, (248, 236, 205)), (46, 64, (175, 120, 80)))
    pen.rectangle(46, 4, 62, 15, (110, 90, 70))
    pen.rectangle(47.5, 5.5, 60.5, 13.5, (170, 225, 250))
    pen.rectangle(-2, 14, 12, 47, (225, 230, 235))
    pen.rectangle(-2, 26, 12, 27.2, (130, 135, 145))
    pen.rectangle(9, 18, 10.5, 23, (130, 135, 145))


def castle(pen: Pen) -> None:
    _bands(pen, (0, 45, (225, 180, 200)), (45, 64, (90, 110, 70)))
    stone = (140, 130, 150)
    pen.rectangle(-10, 24, 74, 45, stone)
    for x in range(-8, 74, 8):
        pen.rectangle(x, 20.5, x + 4, 24, stone)
    pen.rectangle(0, 10, 12, 45, (115, 105, 128))
    pen.polygon([(-2, 10), (14, 10), (6, 0)], (95, 50, 120))
    pen.rectangle(4, 16, 8, 22, (255, 225, 130))


def space(pen: Pen) -> None:
    _bands(pen, (0, 47, (30, 26, 72)), (47, 64, (150, 150, 160)))
    pen.circle(54, 10, 6, (230, 140, 90))
    pen.ellipse(54, 10, 10, 1.3, (250, 215, 170))
    for x, y in ((4, 6), (14, 14), (30, 5), (40, 17), (8, 27), (60, 33), (46, 40), (2, 40)):
        pen.circle(x, y, 0.9, (255, 255, 255))
    pen.ellipse(8, 55, 5, 2, (120, 120, 130))


BACKDROPS: dict[str, Callable[[Pen], None]] = {
    f.__name__: f for f in (park, street, beach, desert, snow, kitchen, castle, space)
}
