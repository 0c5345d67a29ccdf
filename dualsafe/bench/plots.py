"""Plots of results: safety against context, categories."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..optional import needed
from .names import heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, OTHERS, FRONT, INK = "#0b6bcb", "#6b6b6b", "#e0a030", "#222222"
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.hashsalt": "dualsafe",
}


def is_ours(method: str) -> bool:
    return method.startswith("dualsafe")


def tradeoff_plot(task: dict[str, Any]) -> bytes | None:
    """SVG of one task's methods, context kept against unsafe rate; None without unsafe prompts or measured context."""
    if not _has_tradeoff(task):
        return None
    with figure_of(7.2, _height(task)) as figure:
        _tradeoff(figure.subplots(), task)
        return svg_of(figure)


def heatmap(task: dict[str, Any]) -> bytes | None:
    """SVG of the unsafe rate, methods by categories; None without categories."""
    names = list(dict.fromkeys(c for result in task["methods"].values() for c in result["categories"]))
    if not names:
        return None
    methods = list(task["methods"])
    rates = [[task["methods"][m]["categories"].get(c, {}).get("value", float("nan")) for c in names] for m in methods]
    with figure_of(2.3 + 0.8 * len(names), 1.1 + 0.3 * len(methods)) as figure:
        axes = figure.subplots()
        shade = axes.imshow(rates, cmap="Reds", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(methods)), methods)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for y, row in enumerate(rates):
            for x, share in enumerate(row):
                if share == share:
                    axes.text(x, y, f"{share:.2f}", ha="center", va="center", color="white" if share > 0.6 else INK)
        figure.colorbar(shade, label="unsafe", fraction=0.05, pad=0.03).outline.set_visible(False)
        return svg_of(figure)


def _has_tradeoff(task: dict[str, Any]) -> bool:
    return task["kind"] == "unsafe" and "context" in task


def _height(task: dict[str, Any]) -> float:
    """Inches for a name a line."""
    return max(3.6, 1.0 + 0.16 * len(task["methods"]))


@contextmanager
def figure_of(width: float, height: float) -> Iterator[Figure]:
    matplotlib = needed("matplotlib", "bench")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        yield figure


def svg_of(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _tradeoff(axes: Axes, task: dict[str, Any]) -> None:
    """Down and to the right is better; names stand in a column on the right, so that none covers another."""
    metrics = {m: r["metrics"] for m, r in task["methods"].items() if "unsafe_rate" in r["metrics"]}
    points = {m: (found[task["context"]], found["unsafe_rate"]) for m, found in metrics.items()}
    ends = sorted((points[m][0]["value"], points[m][1]["value"]) for m in task["front"])
    axes.plot(*zip(*ends), color=FRONT, linewidth=5, alpha=0.45, solid_capstyle="round", zorder=1, label="front")
    for method, (x, y) in points.items():
        colour = OURS if is_ours(method) else OTHERS
        axes.errorbar(
            x["value"], y["value"],
            xerr=[[x["value"] - x["low"]], [x["high"] - x["value"]]],
            yerr=[[y["value"] - y["low"]], [y["high"] - y["value"]]],
            fmt="o" if is_ours(method) else "s", markersize=5, color=colour, ecolor=colour, elinewidth=0.7, zorder=3,
        )  # fmt: skip
    axes.set_xlabel(f"{heading(task['context'])}  (more is better)")
    axes.set_ylabel("unsafe rate  (less is better)")
    axes.set_ylim(-0.04, 1.04)
    axes.legend(frameon=False, loc="best")
    axes.grid(color="#eeeeee", linewidth=0.8, zorder=0)
    _names(axes, {m: (x["value"], y["value"]) for m, (x, y) in points.items()})


def _names(axes: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Writes each point's name right of the axes, at its height or as near as the others leave room, with a line."""
    left, right = axes.get_xlim()
    column = right + 0.04 * (right - left)
    ordered = sorted(points, key=lambda name: (points[name][1], -points[name][0]))
    for name, height in zip(ordered, _spread([points[name][1] for name in ordered])):
        colour = OURS if is_ours(name) else INK
        line = {"arrowstyle": "-", "color": "#cccccc", "linewidth": 0.7, "shrinkA": 2, "shrinkB": 3, "relpos": (0, 0.5)}
        axes.annotate(
            name, points[name], (column, height),
            color=colour, va="center", fontsize=8, arrowprops=line, annotation_clip=False, zorder=2,
        )  # fmt: skip


def _spread(heights: list[float]) -> list[float]:
    """Rising heights in [0, 1], moved as little apart as lines of text need."""
    placed = list(heights)
    gap = min(0.065, 1 / max(len(placed) - 1, 1))
    for _ in range(2000):
        for i in range(len(placed) - 1):
            push = max(0.0, gap - placed[i + 1] + placed[i]) / 2
            placed[i : i + 2] = placed[i] - push, placed[i + 1] + push
        placed[0], placed[-1] = max(placed[0], 0.0), min(placed[-1], 1.0)
    return placed
