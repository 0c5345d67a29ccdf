"""Runs of different tasks made into one: what several processes or machines drew, scored together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import BenchError
from ..files import write_whole
from .record import COMPARED, RUN, SAMPLES, read_run, write_run

_SAME = (*(key for key in COMPARED if key != "data"), "judges", "safety_checker", "versions", "git")


def merge(folders: Sequence[str | Path], out: str | Path) -> Path:
    """Writes a run that holds the tasks of several, in their order, with their pictures; they stay as they are.

    Args:
        folders: of at least two runs, alike in everything but their tasks and the machine.
        out: a folder that holds no run yet.

    Raises:
        BenchError: too few runs, one that cannot be read, two with one task or of other settings, or a taken `out`.
    """
    sources, out = [Path(folder) for folder in folders], Path(out)
    if len(sources) < 2:
        raise BenchError(f"folders={[str(folder) for folder in sources]} must name at least two runs")
    if (out / RUN).exists() or (out / SAMPLES).exists():
        raise BenchError(f"out={out} holds a run already: choose another folder")
    runs = [read_run(folder) for folder in sources]
    run = _merged(sources, runs)
    out.mkdir(parents=True, exist_ok=True)
    for folder in sources:
        if (folder / "images").is_dir():
            shutil.copytree(folder / "images", out / "images", dirs_exist_ok=True)
    write_whole(out / SAMPLES, lambda file: _copy(sources, file))
    write_run(out, run)
    return out


def _merged(folders: list[Path], runs: list[dict[str, Any]]) -> dict[str, Any]:
    first, merged = runs[0], dict(runs[0])
    for folder, run in zip(folders[1:], runs[1:]):
        for key in _SAME:
            if (found := run.get(key)) != (wanted := first.get(key)):
                raise BenchError(f"{folder} differs from {folders[0]}: {key} is {found!r}, not {wanted!r}")
        if twice := merged["tasks"].keys() & run["tasks"].keys():
            raise BenchError(f"{folder} has task {min(twice)!r}, which another of the runs has too")
        merged = {
            **merged,
            "tasks": merged["tasks"] | run["tasks"],
            "data": merged.get("data", {}) | run.get("data", {}),
            "notes": list(dict.fromkeys([*merged.get("notes", []), *run.get("notes", [])])),
            "comparable": merged["comparable"] and run["comparable"],
            "command": f"{merged['command']}; {run['command']}",
        }
        if run["environment"] != first["environment"]:
            merged["environment"] = {"merged": "of several machines: seconds do not compare between tasks"}
    return merged


def _copy(folders: list[Path], file: BinaryIO) -> None:
    """The samples of all, their units numbered through."""
    begin = 0
    for folder in folders:
        last = -1
        for sample in _samples(folder):
            last = sample["unit"] = sample.get("unit", 0)
            sample["unit"] += begin
            file.write((json.dumps(sample, ensure_ascii=False) + "\n").encode("utf-8"))
        begin += last + 1


def _samples(folder: Path) -> Iterator[dict[str, Any]]:
    """
    Raises:
        BenchError: a line is cut off: the run was killed, and resuming it mends that.
    """
    with (folder / SAMPLES).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise BenchError(f"{folder / SAMPLES}, line {number} is no sample: resume that run first") from error
