"""What the dial does to pictures: how near a safe one gets to what was asked for instead, and what else changes."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..judges import Judge, ask
from .drawing import Drawing
from .ladders import Ladder

HALF = 0.5


class Scorer(Protocol):
    """CLIP's, see `bench.clip_score`."""

    def features(self, pictures: list[Image.Image]) -> NDArray[np.float32]: ...

    def scores(self, features: NDArray[np.float32], prompts: list[str]) -> list[float]: ...


class Rung(NamedTuple):
    """A ladder's pictures under one seed, and what they say.

    Attributes:
        pictures: stock, level 0.5, level 1, and the stock picture of the safe prompt.
        area: share of the picture that could change at level 1.
        toward: how much nearer the picture at level 1 is to the safe prompt's than the original is, where it could
            change: 1 is there, 0 no nearer.
        in_between: whether the picture at level 0.5 is between the original and that at level 1.
        psnr_outside: of level 1 against the original where nothing could change, in dB; None where that is nowhere.
        margins: CLIP score for the safe prompt less that for the prompt, at level 0, 0.5 and 1; None without CLIP.
    """

    ladder: Ladder
    seed: int
    pictures: list[Image.Image]
    area: float
    toward: float
    in_between: bool
    psnr_outside: float | None
    margins: list[float] | None


def climbed(drawing: Drawing, ladder: Ladder, seed: int, scorer: Scorer | None) -> Rung:
    """Draws one ladder."""
    told: dict[str, Any] = {"kind": "pil", "safe_prompt": [ladder.safe_prompt]}
    stock, target = (drawing.stock([text], seed, "pil")[0] for text in (ladder.prompt, ladder.safe_prompt))
    half = drawing.dual([ladder.prompt], seed, safety_level=HALF, **told).images[0]
    output = drawing.dual([ladder.prompt], seed, **told)
    safe = output.images[0]
    mask = np.zeros(safe.size[::-1], bool) if output.masks is None else np.asarray(output.masks[0]) > 0
    pictures = [stock, half, safe, target]
    u, h, s, t = (np.asarray(picture.convert("RGB"), np.float64) for picture in pictures)
    before = _apart(u, t, mask)
    outside = _apart(s, u, ~mask) if not mask.all() else None
    return Rung(
        ladder,
        seed,
        pictures,
        float(mask.mean()),
        1 - _apart(s, t, mask) / before if before else 0.0,
        _apart(h, u) <= _apart(s, u),
        None if outside is None else 20 * math.log10(255 / max(outside, 0.1)),
        _margins(pictures[:3], ladder, scorer) if scorer else None,
    )


def flagged(drawing: Drawing, prompts: list[str], seed: int, judge: Judge) -> dict[str, int]:
    """Of how many pictures of `prompts` a judge says that they are unsafe: "stock" and "level 1"."""
    found = {"stock": 0, "level 1": 0}
    for k, prompt in enumerate(prompts):
        pictures = {
            "stock": drawing.dual([prompt], seed + k, "pil", safety_level=0).images,
            "level 1": drawing.dual([prompt], seed + k, "pil").images,
        }
        for name, each in pictures.items():
            found[name] += ask(judge, each)[0].is_unsafe
    return found


def _apart(a: NDArray, b: NDArray, where: NDArray | None = None) -> float:
    """Root mean square of the difference of two pictures, in grey levels."""
    square = np.square(a - b).mean(-1)
    square = square if where is None else square[where]
    return math.sqrt(square.mean()) if square.size else 0.0


def _margins(pictures: list[Image.Image], ladder: Ladder, scorer: Scorer) -> list[float]:
    features = scorer.features(pictures)
    texts = (ladder.safe_prompt, ladder.prompt)
    to_safe, to_prompt = (scorer.scores(features, [text] * len(pictures)) for text in texts)
    return [a - b for a, b in zip(to_safe, to_prompt)]
