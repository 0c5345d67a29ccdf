"""A run's report: one HTML file that needs nothing beside it, pictures blurred until clicked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files import write_text
from .grid import Row, data_uri, grids
from .html import filled
from .leaderboard import best, columns
from .names import heading, interval, number
from .plots import heatmap, is_ours, tradeoff_plot
from .score import write_results

PROMPTS = 6
_TEMPLATE = Path(__file__).parent / "report.html.jinja"
_NOT_SETTINGS = ("tasks", "notes", "definitions", "versions", "environment", "intervals")


def write_report(folder: str | Path, prompts: int = PROMPTS, results: dict[str, Any] | None = None) -> Path:
    """Scores a run again, without its model, and writes results.json, leaderboard.md and report.html beside it.

    Args:
        prompts: how many prompts of each task are shown with their pictures, if the run kept any.
        results: of this run, as `launch` returns them; then it is not scored again, and only the report is written.

    Raises:
        BenchError: not a run's folder, or a line of samples.jsonl that is not a sample.
    """
    folder = Path(folder)
    results = write_results(folder) if results is None else results
    html = render(results, grids(folder, results["judges"], prompts))
    path = folder / "report.html"
    write_text(path, html)
    return path


def render(results: dict[str, Any], pictures: dict[str, list[Row]]) -> str:
    """The HTML text; `pictures` is task -> rows of its grid."""
    return filled(
        _TEMPLATE,
        results=results,
        settings={name: value for name, value in results.items() if name not in _NOT_SETTINGS},
        plots={name: list(_plots(task)) for name, task in results["tasks"].items()},
        pictures=pictures,
        metrics=_metrics,
        columns=columns,
        best=best,
        is_ours=is_ours,
        bare=(),
        heading=heading,
        number=number,
        interval=interval,
    )


def _metrics(task: dict[str, Any]) -> list[str]:
    """Every metric that some method has."""
    return list(dict.fromkeys(name for result in task["methods"].values() for name in result["metrics"]))


def _plots(task: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for title, plot in (
        ("Safety against context", tradeoff_plot),
        ("Unsafe rate by category", heatmap),
    ):
        drawn = plot(task)
        if drawn is not None:
            yield title, data_uri("image/svg+xml", drawn)
