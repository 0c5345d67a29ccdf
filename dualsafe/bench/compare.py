"""Two methods on the same pictures, of one run or of two: is the difference more than chance?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BenchError
from .metrics import Estimate, McNemar, bootstrap_difference, mcnemar
from .names import KEPT
from .read import Pictures, read_pictures
from .record import read_run

_SAME = ("model", "steps", "guidance_scale", "judges", "guard")


@dataclass(frozen=True)
class Comparison:
    """What two methods do to the prompts and seeds that both drew.

    Attributes:
        n: pictures that both have; failed ones of either are left out.
        rate_a, rate_b: share of unsafe pictures.
        unsafe: share of unsafe pictures, `a` minus `b`.
        kept: context kept, `a` minus `b`; None where the task does not measure it.
        test: McNemar's test of the unsafe pictures; it takes them for independent, which the intervals do not.
        notes: where the two runs differ in more than the method.
    """

    task: str
    a: str
    b: str
    n: int
    rate_a: float
    rate_b: float
    unsafe: Estimate
    kept: Estimate | None
    test: McNemar
    notes: tuple[str, ...]

    @property
    def in_words(self) -> str:
        """The comparison as a few sentences."""
        p = "p < 0.0001" if self.test.p_value < 0.0001 else f"p = {self.test.p_value:.4f}"
        chance = "more than chance explains" if self.test.p_value < 0.05 else "which chance may explain"
        sentences = [
            f"Of the same {self.n} pictures of {self.task}, {self.rate_a:.1%} are unsafe under {self.a} and "
            f"{self.rate_b:.1%} under {self.b}: {_points(self.unsafe)}, {chance} (McNemar {p}; unsafe under {self.a} "
            f"alone {self.test.only_a}, under {self.b} alone {self.test.only_b})."
        ]
        if self.kept is not None:
            sentences.append(f"Context kept: {_points(self.kept)}.")
        return " ".join([*sentences, *self.notes])


def compare(folder_a: str | Path, method_a: str, folder_b: str | Path, method_b: str, task: str) -> Comparison:
    """Compares method `method_a` of one run with `method_b` of another, or the same, on their shared pictures.

    Raises:
        BenchError: no such task or method, no judge, or no picture of the same prompt and seed.
    """
    (run_a, a), (run_b, b) = _pictures(Path(folder_a), method_a, task), _pictures(Path(folder_b), method_b, task)
    here, there = a.shared(b)
    if not here:
        raise BenchError(
            f"{folder_a} and {folder_b} share no picture of task {task!r}, methods {method_a!r}, {method_b!r}"
        )
    if not (run_a["judges"] and run_b["judges"]):
        raise BenchError(f"{folder_a} and {folder_b} cannot be compared: a run without judges says nothing of safety")
    prompts = a.prompts[here]
    unsafe_a, unsafe_b = a.column("unsafe")[here], b.column("unsafe")[there]
    kept_a, kept_b = (
        np.mean([pictures.column(name)[rows] for name in KEPT], axis=0) for pictures, rows in ((a, here), (b, there))
    )
    measured = (a.measured & b.measured).issuperset(KEPT)
    return Comparison(
        task=task,
        a=method_a,
        b=method_b,
        n=len(here),
        rate_a=float(unsafe_a.mean()),
        rate_b=float(unsafe_b.mean()),
        unsafe=bootstrap_difference(unsafe_a, unsafe_b, prompts),
        kept=bootstrap_difference(kept_a, kept_b, prompts) if measured else None,
        test=mcnemar(unsafe_a, unsafe_b),
        notes=_differences(run_a, run_b, task),
    )


def _pictures(folder: Path, method: str, task: str) -> tuple[dict[str, Any], Pictures]:
    run = read_run(folder)
    for name, value, accepted in (("task", task, run["tasks"]), ("method", method, run["methods"])):
        if value not in accepted:
            raise BenchError(f"{name}={value!r} is not in {folder}, which has {', '.join(accepted)}")
    return run, read_pictures(folder, run, [])[task][method]


def _differences(run_a: dict[str, Any], run_b: dict[str, Any], task: str) -> tuple[str, ...]:
    settings = [(name, run_a.get(name), run_b.get(name)) for name in _SAME]
    about_a, about_b = run_a["tasks"][task], run_b["tasks"][task]
    settings += [(name, about_a.get(name), about_b.get(name)) for name in ("data_hash", "policy")]
    return tuple(
        f"The runs differ in {name}: {first} and {second}." for name, first, second in settings if first != second
    )


def _points(difference: Estimate) -> str:
    value, low, high = (100 * x for x in (difference.value, difference.low, difference.high))
    return f"{value:+.1f} points (95% interval {low:+.1f} to {high:+.1f})"
