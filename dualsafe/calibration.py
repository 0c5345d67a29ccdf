"""Settings that fit a checkpoint, found on its own benign prompts and kept beside its weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .config import MethodSettings
from .errors import CheckpointError

FILE = "dualsafe.json"
"""Lies in a checkpoint's folder; what it holds are defaults of `MethodSettings` there."""


def calibrated(folder: str | Path) -> MethodSettings:
    """The settings that are kept in a checkpoint's folder; the library's own where none are.

    Raises:
        CheckpointError: a file that holds something else.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return MethodSettings()
    try:
        return MethodSettings(**json.loads(path.read_text(encoding="utf-8"))["settings"])
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise CheckpointError(
            f"{path} holds no calibration: {error}; make it anew with `dualsafe calibrate`"
        ) from error


def watch_scores(pipe: Any, prompts: Sequence[str], batch: int = 8, **sampling: Any) -> list[float]:
    """The watch's score for each prompt, in [-2, 2], from pictures of seeds 0, 1, ...; none is made safe or kept.

    Args:
        sampling: arguments of the stock call.
    """
    settings = MethodSettings(watch=-2.0)  # every picture is compared with all probes
    scores: list[float] = []
    for start in range(0, len(prompts), batch):
        part = list(prompts[start : start + batch])
        seeds = [torch.Generator().manual_seed(start + i) for i in range(len(part))]
        output = pipe(part, generator=seeds, settings=settings, preview=None, output_type="latent", **sampling)
        scores += [report.watched for report in output.safety if report.watched is not None]
    return scores


def calibrate(pipe: Any, prompts: Sequence[str], false_alarms: float = 0.05, **sampling: Any) -> dict[str, Any]:
    """What `FILE` is to hold: the watch's threshold that flags a share of benign prompts.

    Args:
        prompts: benign ones; at least 20. Those in which the policy finds a word don't count.
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


def save(found: dict[str, Any], folder: str | Path) -> Path:
    """Writes what `calibrate` found beside a checkpoint's weights."""
    path = Path(folder) / FILE
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return path
