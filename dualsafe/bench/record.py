"""The record of a run, `samples.jsonl`: written a unit of work at a time, so that a killed run goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import BenchError
from ..files import write_json, write_text

Line = TypeVar("Line", bound=BaseModel)
SAMPLES, RUN, RESULTS = "samples.jsonl", "run.json", "results.json"
COMPARED = (
    "methods",
    "judge_specs",
    "guard",
    "clip",
    "lpips",
    "inception",
    "model",
    "steps",
    "guidance_scale",
    "seeds",
    "limit",
    "batch_size",
    "budget",
    "attack_seed",
    "data",
    "row_sizes",
    "call",
)
"""What must be the same for a run to be resumed, or merged with another."""


class Record:
    """Appends samples to a folder's record.

    Every line carries the number of its unit. The last unit of a killed run may be incomplete, so it is dropped and
    done again; all before it stand.

    Attributes:
        done: units that stand; the next one has this number.
    """

    def __init__(self, folder: Path, run: dict[str, Any], compared: Sequence[str], resume: bool):
        """
        Args:
            run: what `run.json` is to hold.
            compared: which of it must be the same for a run to be resumed.

        Raises:
            BenchError: a folder that holds a run already, or, with `resume`, one of other settings or none.
        """
        self.folder, self.done = folder, 0
        held = read_run(folder) if (folder / RUN).is_file() else None
        if held is not None and not resume:
            raise BenchError(f"{folder} holds a run already: resume it, or choose another folder")
        if held is not None and (different := [key for key in compared if held.get(key) != run[key]]):
            key = different[0]
            raise BenchError(f"{folder} cannot be resumed: its {key} is {held.get(key)!r}, now {run[key]!r}")
        folder.mkdir(parents=True, exist_ok=True)
        if held is None:
            write_run(folder, run)
        self._drop_last_unit()

    def add(self, samples: list[dict[str, Any]]) -> None:
        """Writes one unit, whole, to the disk."""
        lines = "".join(json.dumps({**sample, "unit": self.done}, ensure_ascii=False) + "\n" for sample in samples)
        with open(self.folder / SAMPLES, "a", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        self.done += 1

    def _drop_last_unit(self) -> None:
        path = self.folder / SAMPLES
        if not path.is_file():
            return
        start = end = 0
        with open(path, "rb") as file:
            for line in file:
                unit = _unit(line)
                if unit is None:
                    break
                if unit != self.done:
                    self.done, start = unit, end
                end += len(line)
        os.truncate(path, start)


def write_run(folder: Path, run: dict[str, Any]) -> None:
    """Writes a run's settings into its folder."""
    write_json(folder / RUN, run)


def written(
    folder: Path, score: Callable[[Path], dict[str, Any]], leaderboard: Callable[[dict[str, Any]], str]
) -> dict[str, Any]:
    """The results of the run in `folder`, after results.json and leaderboard.md with them are written there."""
    results = score(folder)
    write_json(folder / RESULTS, results)
    write_text(folder / "leaderboard.md", leaderboard(results))
    return results


def read_run(folder: Path) -> dict[str, Any]:
    """A run's settings.

    Raises:
        BenchError: there are none, or they cannot be read.
    """
    try:
        return json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"{folder} holds no run: {RUN} cannot be read") from error


def read_results(folder: Path) -> dict[str, Any]:
    """What a run's scores came to.

    Raises:
        BenchError: there is no `results.json`, or it cannot be read.
    """
    try:
        return json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"{folder} holds no {RESULTS} that can be read; `dualsafe bench report` makes it") from error


def read_samples(folder: Path, kind: type[Line], notes: list[str]) -> Iterator[Line]:
    """The lines of samples.jsonl as `kind`; that a run was killed within the last one is added to `notes`.

    Raises:
        BenchError: a line is none; names the file and the line.
    """
    path, cut = folder / SAMPLES, None
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if cut is not None:
                raise cut
            try:
                sample = kind.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, first["loc"])) or "the line"
                cut = BenchError(f"{path}, line {number}: {place}: {first['msg']}")
                if first["type"] != "json_invalid":
                    raise cut from error
                continue
            yield sample
    if cut is not None:
        notes.append(f"The last line of samples.jsonl, {number}, is cut off and was left out.")


def _unit(line: bytes) -> int | None:
    """A line's unit; None where the line was cut off."""
    try:
        return json.loads(line)["unit"] if line.endswith(b"\n") else None
    except (ValueError, KeyError):
        return None
