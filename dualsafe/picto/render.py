"""Draws a scene: 4x supersampled, so edges are antialiased, in two layers, so the item's mask is exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from .backdrops import BACKDROPS
from .items import DRAW_ITEM
from .looks import treated
from .pen import SUPERSAMPLING, Pen
from .scene import Scene
from .subjects import HAND, TORSO, draw_subject
from .world import COLOURS, ITEMS, SIZE


@dataclass(frozen=True)
class Rendering:
    """A drawn scene.

    Attributes:
        image: uint8 array (64, 64, 3), RGB.
        item_mask: bool array (64, 64), True where the item (with its outline) covers any part of the pixel.
    """

    image: np.ndarray
    item_mask: np.ndarray

    def to_pil(self) -> Image.Image:
        return Image.fromarray(self.image)


def render(scene: Scene) -> Rendering:
    """Draws `scene`; the same scene always gives the same pixels."""
    side = SIZE * SUPERSAMPLING
    stage = Image.new("RGB", (side, side))
    BACKDROPS[scene.setting](Pen(stage, dx=scene.backdrop))
    x, y = 25 + scene.x, 32 + scene.y
    draw_subject(Pen(stage, x, y, scene.scale), scene.subject, COLOURS[scene.colour])

    layer = Image.new("RGBA", (side, side))
    if scene.item != "none":
        worn = ITEMS[scene.item].worn
        hand_x, hand_y = TORSO if worn else HAND
        pen = Pen(
            layer,
            x + hand_x * scene.scale,
            y + hand_y * scene.scale,
            scene.scale if worn else scene.item_scale,
            angle=0.0 if worn else scene.tilt,
        )
        DRAW_ITEM[scene.item](pen)
        if not worn:
            layer = _outlined(layer)
    stage.paste(layer, mask=layer.getchannel("A"))
    stage = treated(stage, scene)
    touched = np.asarray(layer.getchannel("A")).reshape(SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING).max(axis=(1, 3)) > 0
    return Rendering(np.asarray(stage.reduce(SUPERSAMPLING)), touched)


def _outlined(layer: Image.Image) -> Image.Image:
    """The layer on a one-pixel white outline, so that an item reads on any setting."""
    wide = layer.getchannel("A").filter(ImageFilter.MaxFilter(2 * SUPERSAMPLING - 1))
    outlined = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    outlined.putalpha(wide)
    outlined.alpha_composite(layer)
    return outlined
