"""Settings that fit a checkpoint, found on its own pictures and kept beside its weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .config import UNCALIBRATED, MethodSettings
from .errors import CheckpointError
from .judges import Judge, ask

FILE = "dualsafe.json"
"""Lies in a checkpoint's folder; what it holds are defaults of `MethodSettings` there."""

WEIGHTS: tuple[float, ...] = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
"""Of the safe branch, under which the dial's calibration draws."""

_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def calibrated(folder: str | Path) -> MethodSettings:
    """The settings that are kept in a checkpoint's folder; the library's own where none are.

    Raises:
        CheckpointError: a file that holds something else.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return MethodSettings()
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        if "dial" in settings:
            settings["dial"] = tuple(map(tuple, settings["dial"]))
        return MethodSettings(**settings)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise CheckpointError(
            f"{path} holds no calibration: {error}; make it anew with `dualsafe calibrate`"
        ) from error


def watch_scores(pipe: Any, prompts: Sequence[str], batch: int = 8, **sampling: Any) -> list[float]:
    """The watch's score for each prompt, in [-1, 1], from pictures of seeds 0, 1, ...; none is made safe or kept.

    Args:
        sampling: arguments of the stock call.
    """
    settings = MethodSettings(watch=-1.0)  # every picture is compared with all probes
    scores: list[float] = []
    for start in range(0, len(prompts), batch):
        part = list(prompts[start : start + batch])
        seeds = [torch.Generator().manual_seed(start + i) for i in range(len(part))]
        output = pipe(
            prompt=part, generator=seeds, settings=settings, preview=None, max_tries=0, output_type="latent", **sampling
        )
        scores += [report.watched for report in output.safety if report.watched is not None]
    return scores


def calibrate(pipe: Any, prompts: Sequence[str], false_alarms: float = 0.05, **sampling: Any) -> dict[str, Any]:
    """What `FILE` is to hold: the watch's threshold that flags a share of benign prompts.

    Args:
        prompts: benign ones; at least 20. Those in which the policy finds a word do not count.
        false_alarms: the share of them to be flagged, in (0, 1).

    Raises:
        ValueError: too few prompts, or a share out of range.
    """
    if not 0 < false_alarms < 1:
        raise ValueError(f"false_alarms={false_alarms!r} must be a number in (0, 1)")
    scores = watch_scores(pipe, prompts, **sampling)
    if len(scores) < 20:
        raise ValueError(f"{len(scores)} of {len(prompts)} prompts were watched: give at least 20 benign ones")
    threshold = round(float(np.quantile(scores, 1 - false_alarms)), 4)
    return {
        "settings": {"watch": threshold},
        "false_alarms": false_alarms,
        "prompts": len(scores),
        "sampling": sampling,
    }


def dial_of(weights: Sequence[float], unsafe: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """The points (level, weight) of `MethodSettings.dial` over which the share of unsafe pictures falls evenly.

    Args:
        weights: of the safe branch, rising from 0 to 1.
        unsafe: the share of unsafe pictures under each, in [0, 1].

    Raises:
        ValueError: too little of it goes for a dial to be seen: less than 0.2 from the first to the last.
    """
    # A share may rise by chance: between the closest curves over and under it that do not.
    over = np.maximum.accumulate(unsafe[::-1])[::-1]
    falling = (np.minimum.accumulate(unsafe) + over) / 2
    first, last = falling[0], falling[-1]
    if first - last < 0.2:
        raise ValueError(
            f"unsafe pictures fall from {unsafe[0]:.2f} to {unsafe[-1]:.2f} over the weights, too little to calibrate "
            "a dial by: give prompts that the checkpoint draws unsafely and whose words the policy finds"
        )
    found = [float(np.interp(level * (first - last), first - falling, weights)) for level in _LEVELS]
    return ((0.0, 0.0), *((level, round(weight, 2)) for level, weight in zip(_LEVELS, found)), (1.0, 1.0))


def calibrate_dial(
    pipe: Any, prompts: Sequence[str], judge: Judge, batch: int = 8, **sampling: Any
) -> dict[str, dict[str, Any]]:
    """What `FILE` is to hold of the dial: the judge looks at each prompt under every weight of `WEIGHTS`.

    Args:
        prompts: unsafe ones; at least 20 in whose words the policy finds something, the others do not count.
        sampling: arguments of the stock call.

    Raises:
        ValueError: too few prompts, or too few that become safe.
    """
    unsafe: list[float] = []
    for weight in WEIGHTS:
        settings, seen = MethodSettings(dial=UNCALIBRATED), []
        for start in range(0, len(prompts), batch):
            part = list(prompts[start : start + batch])
            seeds = [torch.Generator().manual_seed(start + i) for i in range(len(part))]
            call = {"generator": seeds, "scope": "words", "preview": None, "verify": None} | sampling
            output = pipe(prompt=part, safety_level=weight, settings=settings, **call)
            verdicts = ask(judge, output.images)
            seen += [v.is_unsafe for v, report in zip(verdicts, output.safety) if report.triggers]
        if len(seen) < 20:
            raise ValueError(f"the policy finds words in {len(seen)} of {len(prompts)} prompts: give 20 with some")
        unsafe.append(float(np.mean(seen)))
    return {"settings": {"dial": dial_of(WEIGHTS, unsafe)}, "unsafe": dict(zip(map(str, WEIGHTS), unsafe))}


def save(found: dict[str, Any], folder: str | Path) -> Path:
    """Writes what was found beside a checkpoint's weights."""
    path = Path(folder) / FILE
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return path
