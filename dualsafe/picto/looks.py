"""How an artist's style and a subject's mood look: a tint over the picture, and an artist's frame."""

from __future__ import annotations

from PIL import Image, ImageDraw

from .pen import RGB, SUPERSAMPLING
from .scene import Scene

_FRAME = 2
_TINT = 0.14

_TINTS: dict[str, RGB] = {
    "Karel Vost": (150, 20, 30),
    "Ilse Grauer": (70, 70, 85),
    "Bram Tolder": (95, 105, 50),
    "Odile Ferran": (30, 150, 130),
    "Dex Morrow": (15, 15, 15),
    "Yuna Sable": (235, 120, 20),
    "Maro Quill": (250, 190, 215),
    "Linnea Halm": (120, 190, 245),
    "Pavo Rindel": (240, 225, 150),
    "sinister": (10, 10, 40),
    "furious": (230, 30, 20),
    "intoxicated": (120, 230, 60),
    "cheerful": (255, 245, 120),
    "calm": (150, 200, 250),
    "sleepy": (130, 110, 190),
}


def treated(stage: Image.Image, scene: Scene) -> Image.Image:
    """The drawn scene under its mood and in its style; place by place, so that twins stay equal outside the item."""
    for name in (scene.mood, scene.style):
        if name in _TINTS:
            stage = Image.blend(stage, Image.new("RGB", stage.size, _TINTS[name]), _TINT)
    if scene.style in _TINTS:
        box = (0, 0, stage.width - 1, stage.height - 1)
        ImageDraw.Draw(stage).rectangle(box, outline=_TINTS[scene.style], width=_FRAME * SUPERSAMPLING)
    return stage
