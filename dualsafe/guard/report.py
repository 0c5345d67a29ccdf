"""A guard run's report: one HTML file that needs nothing beside it, pictures blurred until clicked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..bench.grid import data_uri, tile_of
from ..bench.html import filled
from ..bench.names import interval, number
from ..bench.record import read_run, read_samples
from ..errors import PairsError
from ..files import write_text
from ..pairs.read import read_pairs
from .answers import CONFLICTS, Answers, PairLine, read_answers
from .board import BARE, columns, heading, p_in_words, write_results
from .plots import accuracy_bars, roc_curves

WORST = 12
_TEMPLATE = Path(__file__).parent / "report.html.jinja"
_SETTINGS = ("judge_specs", "n", "split", "limit", "batch_size", "git", "command")


@dataclass
class Shown:
    """A pair that judges got wrong.

    Attributes:
        said: judge -> what it called the original and the edited side.
        wrong: judge -> which of the two are wrong.
        tiles: "original", "edited" and "mask" -> a data URI, where the pictures are still there.
    """

    sample: PairLine
    said: dict[str, tuple[str, str]]
    wrong: dict[str, tuple[bool, bool]]
    prompt: str = ""
    tiles: dict[str, str] = field(default_factory=dict)


def write_report(folder: str | Path, worst: int = WORST, results: dict[str, Any] | None = None) -> Path:
    """Scores a run again, without a judge, and writes results.json, leaderboard.md and report.html beside it.

    Args:
        worst: how many of the pairs that most judges got wrong are shown, with pictures if their folder is still there.
        results: of this run, as `evaluate` returns them; then it is not scored again, and only the report is written.

    Raises:
        BenchError: not a run's folder, or a line of samples.jsonl that is not a sample.
    """
    folder = Path(folder)
    results = write_results(folder) if results is None else results
    answers = read_answers(folder, read_run(folder), [])
    shown = _worst(folder, answers, list(results["board"]), worst)
    for number_, source in enumerate(results["pairs"]):
        _fill(Path(source["folder"]), {each.sample.pair_id: each for each in shown if each.sample.folder == number_})
    html = render(results, answers, shown)
    path = folder / "report.html"
    write_text(path, html)
    return path


def render(results: dict[str, Any], answers: Answers, shown: list[Shown]) -> str:
    """The HTML text."""
    return filled(
        _TEMPLATE,
        results=results,
        settings={name: results[name] for name in _SETTINGS},
        plots=list(_plots(results, answers)),
        shown=shown,
        columns=columns(results),
        conflicts=CONFLICTS,
        bare=BARE,
        heading=heading,
        number=number,
        interval=interval,
        p_in_words=p_in_words,
    )


def _plots(results: dict[str, Any], answers: Answers) -> Iterator[tuple[str, str]]:
    scores = {name: found[answers.twins] for name, found in answers.scores.items()}
    for title, drawn in (
        ("Paired accuracy", accuracy_bars(results)),
        ("ROC curves", roc_curves(results, scores)),
    ):
        if drawn is not None:
            yield title, data_uri("image/svg+xml", drawn)


def _worst(folder: Path, answers: Answers, judges: list[str], count: int) -> list[Shown]:
    """The pairs that most judges got wrong; of equals, first those with the most wrong sides."""
    right = np.stack([answers.right(name) for name in judges])
    wrong_judges, wrong_sides = (~right.all(axis=2)).sum(axis=0), (~right).sum(axis=(0, 2))
    order = [i for i in np.lexsort((answers.pairs, -wrong_sides, -wrong_judges))[:count] if wrong_judges[i]]
    places = {int(answers.pairs[i]): i for i in order}
    found: dict[int, Shown] = {}
    for sample in read_samples(folder, PairLine, []):
        i = places.get(sample.pair)
        if i is not None:
            each = found.setdefault(sample.pair, Shown(sample, {}, {}))
            each.said[sample.judge] = (_word(sample.original.unsafe), _word(sample.edited.unsafe))
            original, edited = answers.right(sample.judge)[i]
            each.wrong[sample.judge] = (not original, not edited)
    return [found[pair] for pair in places]


def _word(unsafe: bool | None) -> str:
    return "no answer" if unsafe is None else "unsafe" if unsafe else "safe"


def _fill(folder: Path, shown: dict[str, Shown]) -> None:
    """Adds prompts and pictures, from the shards that have them; does nothing where the folder is gone."""
    try:
        for pair in read_pairs(folder) if shown else ():
            if (each := shown.get(pair.row["pair_id"])) is not None:
                each.prompt = pair.row["prompt"]
                sides = {"original": pair.original, "edited": pair.edited, "mask": pair.mask}
                each.tiles = {name: tile_of(picture) for name, picture in sides.items() if picture is not None}
    except (PairsError, OSError):
        return
