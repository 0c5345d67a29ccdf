"""From every head's scores to learning curves, their differences, a table and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..bench.markdown import table as markdown_table
from ..bench.metrics import TAIL, Estimate, bootstrap_interval
from ..bench.plots import OTHERS, OURS, figure_of
from .arms import ARMS
from .features import Labelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = ("paired_accuracy", "balanced_accuracy", "auc")
FEW = 32
"""Sizes up to this one are also taken together."""
_COLOURS = {"paired": OURS, "unpaired": OTHERS}


@dataclass(frozen=True)
class Score:
    """How a head did on one test set.

    Attributes:
        metrics: by name; the first is the headline.
        units: numbers, a pair's or a picture's, whose mean is the headline.
    """

    metrics: dict[str, float]
    units: NDArray[np.float64]


def score(logits: NDArray[np.float64], test: Labelled) -> Score:
    """Pairs are right where both sides are (chance is 25%); a logit that is no number says unsafe."""
    from sklearn.metrics import roc_auc_score

    right = ~(logits < 0) == test.unsafe
    shares = np.where(test.unsafe, test.unsafe.mean(), 1 - test.unsafe.mean())
    balanced = right / (2 * shares)
    auc = roc_auc_score(test.unsafe, np.nan_to_num(logits, nan=np.finfo(float).max))
    metrics = {"balanced_accuracy": float(balanced.mean()), "auc": float(auc)}
    if not test.paired:
        return Score(metrics, balanced)
    both = right.reshape(-1, 2).all(axis=1).astype(float)
    return Score({"paired_accuracy": float(both.mean())} | metrics, both)


def summary(scores: dict[str, dict[int, list[Score]]], test: Labelled) -> dict[str, Any]:
    """Curves and differences on one test set.

    Args:
        scores: arm -> size -> a score a seed, the same seeds throughout.
    """
    sizes = list(scores[ARMS[0]])
    names = list(scores[ARMS[0]][sizes[0]][0].metrics)
    groups = test.groups[::2] if test.paired else test.groups
    curve = {
        arm: {
            str(n): {m: asdict(over_seeds([s.metrics[m] for s in each])) for m in names} for n, each in by_size.items()
        }
        for arm, by_size in scores.items()
    }
    spans = {str(n): [n] for n in sizes}
    if len(few := [n for n in sizes if n <= FEW]) > 1:
        spans[f"{few[0]}-{few[-1]}"] = few
    difference = {
        f"paired - {arm}": {span: _difference(scores["paired"], scores[arm], ns, groups) for span, ns in spans.items()}
        for arm in ARMS[1:]
    }
    kinds = {"pictures": len(test.unsafe), "groups": len(np.unique(groups)), "headline": names[0]}
    return kinds | {"curve": curve, "difference": difference}


def over_seeds(values: Sequence[float] | NDArray[np.float64]) -> Estimate:
    """The mean with Student's 95% interval, which is wider than a bootstrap's for few seeds."""
    from scipy.stats import t

    x, k = np.asarray(values, float), len(values)
    reach = float(t.ppf(1 - TAIL, k - 1) * x.std(ddof=1) / k**0.5)
    return Estimate(float(x.mean()), float(x.mean()) - reach, float(x.mean()) + reach, k)


def _difference(
    a: dict[int, list[Score]], b: dict[int, list[Score]], sizes: list[int], groups: NDArray[np.str_]
) -> dict[str, Any]:
    """Headline of `a` less that of `b`, averaged over sizes: seed by seed, and test pair by test pair."""
    units = np.mean([[s.units - o.units for s, o in zip(a[n], b[n])] for n in sizes], axis=0)  # (seeds, units)
    seeds, pairs = over_seeds(units.mean(axis=1)), bootstrap_interval(units.mean(axis=0), groups)
    clear = all(e.low > 0 or e.high < 0 for e in (seeds, pairs))
    return {"over_seeds": asdict(seeds), "over_test_groups": asdict(pairs), "excludes_zero": clear}


def table(results: dict[str, Any]) -> str:
    """Markdown: a table a test set, and the control."""
    lines = [f"# Guards trained on pairs: {results['learner']['name']} on {results['features']}", ""]
    for name, test in results["tests"].items():
        spread = f"mean and 95% interval over {len(results['seeds'])} seeds"
        lines += [f"## {name}: {test['headline']}, {spread}; {test['pictures']} pictures", ""]
        heads = ["n", *ARMS, *(f"{gap}, {over}" for gap in test["difference"] for over in ("seeds", "test pairs"))]
        rows = []
        for span in test["difference"]["paired - unpaired"]:
            arms = [test["curve"][arm].get(span, {}).get(test["headline"]) for arm in ARMS]
            gaps = [
                gap[span][over] for gap in test["difference"].values() for over in ("over_seeds", "over_test_groups")
            ]
            rows.append([span, *(_cell(e) if e else "" for e in arms), *(_cell(e, "+") for e in gaps)])
        lines += [*markdown_table(heads, rows), ""]
    for what, auc in results["real_or_edited"].items():
        lines += [f"Real or edited, null edits of {what}: AUC {_cell(auc)}; 0.5 is no cue.", ""]
    return "\n".join(lines)


def plot(results: dict[str, Any], path: Path) -> None:
    """Draws curves and differences, a row a test set, to a PNG."""
    tests = results["tests"]
    with figure_of(8.4, 3.3 * len(tests)) as figure:
        for row, (name, test) in zip(figure.subplots(len(tests), 2, squeeze=False), tests.items()):
            _curves(row[0], test)
            _gaps(row[1], test)
            row[0].set_title(name, loc="left", fontweight="bold")
            for axes in row:
                axes.set_xscale("log", base=2)
                axes.set_xticks(results["sizes"], results["sizes"])
                axes.set_xlabel("training pictures, n")
                axes.grid(color="#eeeeee", linewidth=0.8, zorder=0)
        figure.savefig(path, dpi=150, metadata={"Software": None})


def _curves(axes: Axes, test: dict[str, Any]) -> None:
    headline = test["headline"]
    for arm, by_size in test["curve"].items():
        _band(axes, {int(n): each[headline] for n, each in by_size.items()}, arm, _COLOURS[arm])
    chance = 0.25 if headline == "paired_accuracy" else 0.5
    axes.axhline(chance, color="#999999", linewidth=0.8, linestyle=":", label="chance")
    axes.set_ylabel(headline.replace("_", " "))
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, loc="lower right")


def _gaps(axes: Axes, test: dict[str, Any]) -> None:
    for arm in ARMS[1:]:
        by_size = test["difference"][f"paired - {arm}"]
        gaps = {int(n): each["over_seeds"] for n, each in by_size.items() if n.isdigit()}
        _band(axes, gaps, f"paired - {arm}", _COLOURS[arm])
    axes.axhline(0, color="#999999", linewidth=0.8)
    axes.set_ylabel(f"difference of {test['headline'].replace('_', ' ')}")
    axes.legend(frameon=False, loc="upper right")


def _band(axes: Axes, points: dict[int, dict[str, float]], label: str, colour: str) -> None:
    low, value, high = ([e[name] for e in points.values()] for name in ("low", "value", "high"))
    axes.fill_between(list(points), low, high, color=colour, alpha=0.18, linewidth=0, zorder=2)
    axes.plot(list(points), value, color=colour, marker="o", markersize=4, label=label, zorder=3)


def _cell(e: dict[str, float], sign: str = "") -> str:
    return f"{e['value']:{sign}.3f} [{e['low']:{sign}.3f}, {e['high']:{sign}.3f}]"
