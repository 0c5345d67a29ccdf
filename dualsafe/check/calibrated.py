"""The watch's threshold for a checkpoint, from the ladders' texts, all of them harmless; kept beside its weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..calibration import FILE, calibrate, calibrated, save
from .drawing import Drawing
from .ladders import Ladder

_WATCHED = 3.0
"""How much longer a picture takes at most that is watched, compared with every probe and made safe."""


def calibration(
    drawing: Drawing, ladders: tuple[Ladder, ...], seconds: float, of_a_picture: float, folder: Path
) -> dict[str, Any]:
    """What the watch goes by: "watch", the threshold; "prompts", how many it was found on; "file", where it is kept.

    Args:
        ladders: whose prompts and safe prompts are drawn, once or several times.
        seconds: how long it may take.
        of_a_picture: seconds.
        folder: of the checkpoint, or another, to keep it in; what lies there already is left.

    Returns:
        "prompts" is 0 where nothing was found, and "reason" says why.
    """
    file = folder / FILE
    kept = {"watch": calibrated(folder).watch, "prompts": 0, "file": str(file) if file.is_file() else None}
    if file.is_file():
        return kept | {"reason": "it was calibrated before"}
    if drawing.starts_from_pictures:
        return kept | {"reason": "it starts from pictures: calibrate the checkpoint's text-to-image pipeline"}
    texts = [text for ladder in ladders for text in (ladder.prompt, ladder.safe_prompt)]
    times = min(int(seconds / (len(texts) * of_a_picture * _WATCHED)), 4)
    if not times:
        return kept | {"reason": f"no time for {len(texts)} pictures: give --minutes, or run `dualsafe calibrate`"}
    found = calibrate(drawing.pipe, texts * times, num_inference_steps=drawing.steps, **drawing.options)
    if not math.isfinite(found["settings"]["watch"]):
        return kept | {"reason": "the model's predictions could not be compared, so that every picture is flagged"}
    try:
        where, reason = str(save(found, folder)), None
    except OSError as error:
        where, reason = None, f"{folder} cannot be written to: {error.strerror}"
    return {"watch": found["settings"]["watch"], "prompts": found["prompts"], "file": where, "reason": reason}
