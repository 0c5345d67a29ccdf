"""A small drawing pen: shapes in picture pixels, shifted, scaled and turned, on a supersampled canvas."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

SUPERSAMPLING = 4

RGB = tuple[int, int, int]
Point = tuple[float, float]


class Pen:
    """Draws on `canvas` with the origin at (`dx`, `dy`), lengths times `scale`, turned by `angle` degrees."""

    def __init__(self, canvas: Image.Image, dx: float = 0.0, dy: float = 0.0, scale: float = 1.0, angle: float = 0.0):
        self._draw = ImageDraw.Draw(canvas)
        self._dx, self._dy, self._scale = dx, dy, scale
        self._cos, self._sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))

    def _at(self, x: float, y: float) -> Point:
        turned = (x * self._cos - y * self._sin, x * self._sin + y * self._cos)
        return tuple(SUPERSAMPLING * (o + self._scale * v) for o, v in zip((self._dx, self._dy), turned))  # type: ignore[return-value]

    def polygon(self, points: Sequence[Point], fill: RGB) -> None:
        self._draw.polygon([self._at(*p) for p in points], fill=fill)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, fill: RGB) -> None:
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, fill: RGB, start: float = 0.0, end: float = 360.0
    ) -> None:
        """An ellipse, or the slice of it between two angles in degrees (clockwise from the right)."""
        steps = 40
        arc = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
        points = [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in arc]
        self.polygon(points if end - start >= 360 else [(x, y), *points], fill)

    def circle(self, x: float, y: float, r: float, fill: RGB) -> None:
        self.ellipse(x, y, r, r, fill)

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float, fill: RGB) -> None:
        length = math.hypot(x1 - x0, y1 - y0)
        nx, ny = (y1 - y0) / length * width / 2, (x0 - x1) / length * width / 2
        self.polygon([(x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny)], fill)
