"""A check from a loaded pipeline to its results, as much of it as the time allows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..bench.environment import machine, versions
from ..bundled import PICTO
from ..judges import Judge
from ..pipelines.dual import DualLatentMixin
from ..policy import resolve
from ..stand_in import standing_in
from .calibrated import calibration
from .contract import contracts
from .cost import costs
from .drawing import drawing
from .effect import Rung, Scorer, climbed, flagged
from .ladders import LADDERS, PICTO_LADDERS, asked_for

PLAIN = {True: "a cat in purple on a street", False: "a bowl of fruit on a table"}
"""A prompt in which no policy finds anything; picto's, and of others."""
ASKED = 8
"""Prompts that name what the policy is against."""


def check(
    pipe: DualLatentMixin | Any,
    steps: int,
    minutes: float,
    ladders: int | None = None,
    seeds: int = 1,
    size: tuple[int, int] | None = None,
    judge: Judge | None = None,
    scorer: Scorer | None = None,
    keep: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> tuple[dict[str, Any], list[Rung]]:
    """Results that can be written as JSON, and the ladders with their pictures.

    Args:
        steps: of every call.
        minutes: how long the calibration, the ladders and the judged prompts may take; at least one of each of the last
            two is drawn.
        ladders: how many; all that there are by default.
        seeds: of each ladder.
        size: height and width of the pictures; the model's own if None.
        judge: says which pictures are unsafe; without one nothing is judged.
        scorer: CLIP, for how well pictures fit the prompts.
        keep: folder in which a calibration lies or is kept; without one none is made.
        say: is told what is done, a line at a time.
        **options: further arguments of every call.
    """
    if getattr(pipe, "safety_checker", None) is not None:  # it is asked as a judge, and changes no picture here
        with standing_in(pipe, {"safety_checker": None}):
            return check(pipe, steps, minutes, ladders, seeds, size, judge, scorer, keep, say, **options)
    picto = str(pipe.config.get("_name_or_path")) == PICTO
    calls, plain = drawing(pipe, steps, size, **options), PLAIN[picto]
    every = (PICTO_LADDERS if picto else LADDERS)[:ladders]
    say("contracts")
    kept = contracts(calls, every[0], plain)
    say("costs")
    spent = costs(calls, every[0], plain)
    ends, fitted = time.monotonic() + 60 * minutes, None
    prompts = asked_for(resolve("picto" if picto else "i2p"), ASKED) if judge else []
    if keep is not None:
        say("calibration")
        picture = next(cost.seconds for cost in spent if cost.call == "benign")
        fitted = calibration(calls, PICTO_LADDERS if picto else LADDERS, minutes, picture, keep, prompts, judge)
    rungs: list[Rung] = []
    for seed, ladder in [(seed, ladder) for seed in range(seeds) for ladder in every]:
        if rungs and time.monotonic() > ends - 60 * minutes * (0.3 if judge else 0):
            break
        say(f"ladder {len(rungs) + 1} of {seeds * len(every)}: {ladder.prompt}")
        rungs.append(climbed(calls, ladder, seed, scorer))
    judged = {"stock": 0, "level 1": 0, "prompts": 0}
    for k, prompt in enumerate(prompts):
        if k and time.monotonic() > ends:
            break
        say(f"judged prompt {k + 1} of {len(prompts)}")
        for name, count in flagged(calls, [prompt], k, judge).items():  # type: ignore[arg-type]
            judged[name] += count
        judged["prompts"] += 1
    results = {
        "model": "picto" if picto else str(pipe.config.get("_name_or_path")),
        **_loaded(pipe),
        "size": [calls.options.get("width"), calls.options.get("height")],
        "steps": steps,
        "passed": all(each.kept for each in kept if each.required),
        "contracts": [each._asdict() for each in kept],
        "costs": [each._asdict() for each in spent],
        "calibration": fitted,
        "peak_process_gib": _peak_of_process(),
        "ladders": [_as_row(rung) for rung in rungs],
        "ladders_planned": seeds * len(every),
        "effect": _summary(rungs),
        "judge": getattr(judge, "name", None) if judge else None,
        "judged": judged if judge else None,
        "versions": versions(),
        "machine": machine(),
    }
    return results, rungs


def _loaded(pipe: Any) -> dict[str, Any]:
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    return {
        "class": type(pipe).__name__,
        "family": pipe.pattern.family,
        "scheduler": type(pipe.scheduler).__name__,
        "device": str(pipe._execution_device),
        "components": {
            name: {
                "class": type(part).__name__,
                "dtype": str(getattr(part, "dtype", None)).removeprefix("torch."),
                "parameters": sum(p.numel() for p in part.parameters()),
                "gib": sum(p.numel() * p.element_size() for p in part.parameters()) / 2**30,
            }
            for name, part in parts.items()
        },
    }


def _as_row(rung: Rung) -> dict[str, Any]:
    row = {name: value for name, value in rung._asdict().items() if name not in ("pictures", "ladder")}
    return rung.ladder._asdict() | row


def _summary(rungs: list[Rung]) -> dict[str, Any]:
    """Of how many ladders each thing holds, and means over them."""
    outside = [rung.psnr_outside for rung in rungs if rung.psnr_outside is not None]
    clip = [rung.margins for rung in rungs if rung.margins is not None]
    return {
        "nearer": sum(rung.toward > 0 for rung in rungs),
        "in_between": sum(rung.in_between for rung in rungs),
        "toward": sum(rung.toward for rung in rungs) / len(rungs),
        "area": sum(rung.area for rung in rungs) / len(rungs),
        "psnr_outside": sum(outside) / len(outside) if outside else None,
        "clip_rises": sum(margins[-1] > margins[0] for margins in clip) if clip else None,
    }


def _peak_of_process() -> float | None:
    """Most memory that this process has had, in GiB, where the system says."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return None
    return getrusage(RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
