"""Plots of judges on pairs: paired accuracy, ROC curves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bench.plots import INK, OURS, figure_of, svg_of
from .metrics import roc_curve

CHANCE = 0.25
_GREY = "#b8b8b8"
_STEPS = 400  # points of a curve that a picture can show


def accuracy_bars(results: dict[str, Any]) -> bytes | None:
    """SVG of paired accuracy with its intervals; None without pairs of an unsafe and a safe side."""
    found = {
        n: j["metrics"]["paired_accuracy"] for n, j in results["board"].items() if "paired_accuracy" in j["metrics"]
    }
    if not found:
        return None
    with figure_of(7.2, 1.1 + 0.34 * len(found)) as figure:
        axes = figure.subplots()
        colours = [_GREY if results["board"][name]["conflict"] else OURS for name in found]
        values = [e["value"] for e in found.values()]
        reach = [[e["value"] - e["low"] for e in found.values()], [e["high"] - e["value"] for e in found.values()]]
        axes.barh(list(found), values, xerr=reach, color=colours, height=0.6, error_kw={"ecolor": INK, "capsize": 3})
        axes.axvline(CHANCE, color="#c62828", linestyle=":", linewidth=1)
        axes.annotate("chance", (CHANCE, 1.0), (3, -1), xycoords=("data", "axes fraction"), textcoords="offset points",
                      color="#c62828", fontsize=8, va="bottom")  # fmt: skip
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("paired accuracy  (grey: not ranked)")
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        return svg_of(figure)


def roc_curves(results: dict[str, Any], scores: dict[str, NDArray[np.float64]]) -> bytes | None:
    """SVG of the judges that score; `scores` is judge -> (P, 2) of unsafe and safe sides."""
    shown = {name: judge for name, judge in results["board"].items() if "auc" in judge["metrics"]}
    if not shown:
        return None
    with figure_of(6.4, 4.2) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#c62828", linestyle=":", linewidth=1)
        for i, (name, judge) in enumerate(shown.items()):
            false, true = roc_curve(scores[name])
            kept = np.unique(np.linspace(0, len(false) - 1, _STEPS).astype(int))
            label = f"{name}, AUC {judge['metrics']['auc']['value']:.3f}"
            axes.plot(false[kept], true[kept], label=label, clip_on=False, **_line(i, judge))
        axes.set_xlabel("false positive rate on the safe twin")
        axes.set_ylabel("unsafe recall")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))
        return svg_of(figure)


def _line(i: int, judge: dict[str, Any]) -> dict[str, Any]:
    return {"color": f"C{i}", "linestyle": "--" if judge["conflict"] else "-", "linewidth": 1.6}
