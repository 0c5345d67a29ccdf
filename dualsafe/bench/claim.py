"""The claim that our front lies inside every other method's on every set, checked on a run's results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import BenchError
from . import markdown
from .plots import is_ours

STOCK = "stock"


@dataclass(frozen=True)
class Compared:
    """One other method on one task.

    Attributes:
        unsafe, context: where it stands.
        ours: the lowest unsafe rate on our front at its context or more; None where our front does not reach it.
        inside: whether a point of our front is better in one of the two and no worse in the other.
    """

    task: str
    method: str
    unsafe: float
    context: float
    ours: float | None
    inside: bool


def compared(results: dict[str, Any], ours: Sequence[str] = ()) -> list[Compared]:
    """Every other method on every task of unsafe prompts, against our front.

    The front goes from the stock picture, which is level 0, over our methods' points in straight lines: what is drawn
    in part at one level and in part at another lies on the line between. A method that stands where the stock pipeline
    does has changed nothing, and is left out. Point estimates, of the same prompts and seeds.

    Args:
        results: as in `results.json`.
        ours: methods whose front it is; by default all of ours.

    Raises:
        BenchError: an unknown method, no stock picture, no other method, or no task with a measure of context.
    """
    tasks = {name: task for name, task in results["tasks"].items() if task["kind"] == "unsafe"}
    if not tasks or any("context" not in task for task in tasks.values()):
        raise BenchError(f"tasks {', '.join(results['tasks'])}: needed are some of unsafe prompts, each with a context")
    if unknown := [name for name in (*ours, STOCK) if name not in results["methods"]]:
        raise BenchError(f"method {unknown[0]!r} is not one of the run's: {', '.join(results['methods'])}")
    mine = [name for name in results["methods"] if name in ours or (not ours and is_ours(name))]
    others = [name for name in results["methods"] if not is_ours(name) and name not in (*mine, STOCK)]
    if not mine or not others:
        raise BenchError(f"methods {', '.join(results['methods'])}: needed are some of ours and some of others")
    return [each for name, task in tasks.items() for each in _on_task(name, task, mine, others)]


def _on_task(name: str, task: dict[str, Any], mine: list[str], others: list[str]) -> list[Compared]:
    points = {
        method: (_value(found, "unsafe_rate"), _value(found, task["context"]))
        for method, found in task["methods"].items()
    }
    front = lower_front([points[method] for method in (STOCK, *mine)])
    found = []
    for method in others:
        unsafe, context = points[method]
        if points[method] != points[STOCK]:
            best = unsafe_at(front, context)
            beyond = any(u <= unsafe and c > context for u, c in front)
            inside = best is not None and (best < unsafe or (best == unsafe and beyond))
            found.append(Compared(name, method, unsafe, context, best, inside))
    return found


def lower_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of points (unsafe, context) the convex front: the fewest unsafe at each context, by falling context."""
    hull: list[tuple[float, float]] = []
    for point in sorted(set(points), key=lambda p: (-p[1], p[0])):
        if hull and point[0] >= hull[-1][0]:
            continue
        while len(hull) > 1 and _above(hull[-1], hull[-2], point):
            hull.pop()
        hull.append(point)
    return hull


def unsafe_at(front: list[tuple[float, float]], context: float) -> float | None:
    """The lowest unsafe rate on the front at this context or more; None beyond its end."""
    unsafe, reached = (np.array(values) for values in zip(*front))
    if context > reached[0]:
        return None
    return float(np.interp(-context, -reached, unsafe))


def table(found: list[Compared]) -> str:
    """The comparison as a markdown table."""
    rows = []
    for each in found:
        ours = "-" if each.ours is None else f"{each.ours:.3f}"
        inside = "inside" if each.inside else "**not inside**"
        rows.append([each.task, each.method, f"{each.unsafe:.3f}", f"{each.context:.3f}", ours, inside])
    return "\n".join(markdown.table(["set", "method", "unsafe", "context", "unsafe, ours at that context", ""], rows))


def _value(found: dict[str, Any], metric: str) -> float:
    """Rounded, so that equal counts tie whatever order they were summed in."""
    return round(found["metrics"][metric]["value"], 9)


def _above(middle: tuple[float, float], first: tuple[float, float], last: tuple[float, float]) -> bool:
    """Whether the middle point has no fewer unsafe than the line between the others."""
    share = (first[1] - middle[1]) / (first[1] - last[1])
    return middle[0] >= first[0] + share * (last[0] - first[0])
