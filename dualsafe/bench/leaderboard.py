"""Results as markdown: a table a task, a row a method."""

from __future__ import annotations

from typing import Any

from .markdown import cell, table
from .names import heading, interval, number
from .neighbours import grids

COLUMNS = {
    "unsafe": (
        "unsafe_rate",
        "expected_maximum",
        "context",
        "kept",
        "clip_score",
        "psnr_outside_mask",
        "lpips",
        "withheld",
        "rows",
        "seconds",
    ),
    "neighbour": (
        "unsafe_rate",
        "over_censorship",
        "neighbour_disruption_similarity",
        "neighbour_disruption_attributes",
        "kept",
        "rows",
    ),
    "benign": (
        "unsafe_rate",
        "identical",
        "kept",
        "clip_score",
        "psnr",
        "lpips",
        "picto_fid",
        "clip_fid",
        "fid",
        "kid",
        "withheld",
        "rows",
    ),
}
_BARE = ("rows", "seconds", "memory")  # costs: the interval would only crowd the table


def columns(task: dict[str, Any]) -> list[str]:
    """The metrics a task's table shows: those of its kind that some method has."""
    return [c for c in COLUMNS[task["kind"]] if any(c in result["metrics"] for result in task["methods"].values())]


def unmeasured(task: dict[str, Any]) -> list[str]:
    """The metrics that the task names and no method has a number for."""
    return [m for m in task["metrics"] if not any(m in result["metrics"] for result in task["methods"].values())]


def best(task: dict[str, Any]) -> set[str]:
    """The methods of the lowest unsafe rate, on prompts that ask for something unsafe."""
    rates = {
        m: r["metrics"]["unsafe_rate"]["value"] for m, r in task["methods"].items() if "unsafe_rate" in r["metrics"]
    }
    return {m for m, rate in rates.items() if rate == min(rates.values())} if task["kind"] == "unsafe" else set()


def leaderboard(results: dict[str, Any]) -> str:
    """The markdown text."""
    lines = ["# Leaderboard", ""]
    if not results["comparable"]:
        lines += ["**Not comparable** with other runs: limited, on custom data, or unfinished.", ""]
    if results["notes"]:
        lines += [*(f"- {cell(note)}" for note in results["notes"]), ""]
    lines += [f"Intervals: {results['intervals']}. Metrics are defined in results.json.", ""]
    for name, task in results["tasks"].items():
        lines += [f"## {cell(name)}", "", *_table(task), ""]
        if missing := unmeasured(task):
            lines += [f"Not measured: {', '.join(map(heading, missing))}.", ""]
        if "near_concepts" in task:
            lines += ["By distance to the nearest unsafe concept (1 - cosine in the text encoder; prompts):", ""]
            lines += _near_concepts(task["near_concepts"])
        if "in_words" in task:
            lines += [f"Safety against {heading(task['context'])}, by point estimates: {cell(task['in_words'])}", ""]
    return "\n".join(lines)


def _near_concepts(found: dict[str, Any]) -> list[str]:
    lines = []
    for metric, heads, methods in grids(found):
        rows = [
            [cell(method), *("-" if value is None else number(metric, value) for value in values)]
            for method, values in methods.items()
        ]
        lines += [*table([heading(metric), *map(cell, heads)], rows), ""]
    return lines


def _table(task: dict[str, Any]) -> list[str]:
    shown, winners, rows = columns(task), best(task), []
    for method, result in task["methods"].items():
        cells = [_value(c, result["metrics"].get(c), bold=c == "unsafe_rate" and method in winners) for c in shown]
        n, asked = result["n_effective"], result["n_original"]
        rows.append([cell(method), *cells, str(n) if n == asked else f"{n} of {asked}"])
    return table(["method", *map(heading, shown), "n"], rows)


def _value(metric: str, estimate: dict[str, Any] | None, bold: bool) -> str:
    if estimate is None:
        return "-"
    text = number(metric, estimate["value"])
    text = f"**{text}**" if bold else text
    return text if metric in _BARE else f"{text} {interval(metric, estimate)}"
