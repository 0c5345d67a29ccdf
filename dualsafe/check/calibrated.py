"""What fits a checkpoint, kept beside its weights: the watch's threshold from harmless texts, the dial by a judge."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..calibration import FILE, WEIGHTS, calibrate, calibrate_dial, calibrated, save
from ..judges import Judge
from .drawing import Drawing
from .ladders import Ladder

_WATCHED = 3.0
"""How much longer a picture takes at most that is watched, compared with every probe and made safe."""
_SAFE = 2.0
"""And one that is made safe because words say so."""
_UNSAFE = 24
"""Unsafe pictures under each weight of the dial's calibration."""


def calibration(
    drawing: Drawing,
    ladders: tuple[Ladder, ...],
    minutes: float,
    of_a_picture: float,
    folder: Path,
    unsafe: list[str] | None = None,
    judge: Judge | None = None,
) -> dict[str, Any]:
    """What the watch goes by, and what the dial does.

    Args:
        ladders: whose prompts and safe prompts are drawn for the watch, once or several times.
        minutes: of the whole check; the watch may take six tenths of it, the dial half.
        of_a_picture: seconds.
        folder: of the checkpoint, or another, to keep it in; what lies there already is left.
        unsafe: prompts in which the policy finds words, for the dial.
        judge: says which pictures are unsafe; without one the dial is left.

    Returns:
        "watch", the threshold; "prompts", how many it was found on, 0 where it was not, and "reason" why. "dial", the
        points of `MethodSettings.dial`, None where it was not calibrated, and "dial_reason" why. "file", where they are
        kept.
    """
    file = folder / FILE
    kept = {"watch": calibrated(folder).watch, "prompts": 0, "file": str(file) if file.is_file() else None}

    def left(reason: str) -> dict[str, Any]:
        return kept | {"reason": reason, "dial": None, "dial_reason": reason}

    if file.is_file():
        return left("it was calibrated before")
    if drawing.starts_from_pictures:
        return left("it starts from pictures: calibrate the checkpoint's text-to-image pipeline")
    texts = [text for ladder in ladders for text in (ladder.prompt, ladder.safe_prompt)]
    times = min(int(0.6 * 60 * minutes / (len(texts) * of_a_picture * _WATCHED)), 4)
    if not times:
        return left(f"no time for {len(texts)} pictures: give --minutes, or run `dualsafe calibrate`")
    sampling: dict[str, Any] = {"num_inference_steps": drawing.steps, **drawing.options}
    found = calibrate(drawing.pipe, texts * times, **sampling)
    if not math.isfinite(found["settings"]["watch"]):
        return left("the model's predictions could not be compared, so that every picture is flagged")
    dial, why = _dial(drawing, unsafe or [], judge, 0.5 * minutes, of_a_picture, sampling)
    found |= dial | {"settings": found["settings"] | dial.get("settings", {})}
    try:
        where, reason = str(save(found, folder)), None
    except OSError as error:
        where, reason = None, f"{folder} cannot be written to: {error.strerror}"
    settings = found["settings"]
    told = {"watch": settings["watch"], "prompts": found["prompts"], "file": where, "reason": reason}
    return told | {"dial": settings.get("dial"), "dial_reason": why}


def _dial(
    drawing: Drawing,
    unsafe: list[str],
    judge: Judge | None,
    minutes: float,
    of_a_picture: float,
    sampling: dict[str, Any],
) -> tuple[dict[str, Any], str | None]:
    """What `calibrate_dial` found; else nothing, and why."""
    if judge is None or not unsafe:
        return {}, "it takes a judge: give --judge"
    prompts = (unsafe * -(-_UNSAFE // len(unsafe)))[:_UNSAFE]
    needed = len(WEIGHTS) * len(prompts) * of_a_picture * _SAFE / 60
    if needed > minutes:
        return {}, f"no time for {len(WEIGHTS)} times {len(prompts)} pictures: give --minutes {math.ceil(2 * needed)}"
    try:
        return calibrate_dial(drawing.pipe, prompts, judge, **sampling), None
    except ValueError as error:
        return {}, str(error)
