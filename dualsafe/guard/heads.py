"""The heads of a training run that are trained and scored, kept as they are made: a stopped run goes on from them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BenchError
from .curve import Score

Key = tuple[int, int, str]
"""Seed, pictures, arm."""


class Heads:
    """A head's scores a line of `path`; the first line says of which run. Nothing is written before `begin`.

    Args:
        about: everything that decides what a head is.
        resume: take up what is there.

    Raises:
        BenchError: a run is there, and isn't to be taken up or is another one.
    """

    def __init__(self, path: Path, about: dict[str, Any], resume: bool):
        self._path, self._found = path, dict[Key, dict[str, Score]]()
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]  # a kill may have cut the last one off
        if whole and not resume:
            raise BenchError(f"{path.parent} holds a training run already: resume it, or choose another folder")
        if whole and _read(path, whole[0]) != json.loads(json.dumps(about)):
            raise BenchError(f"{path.parent} holds a training run of other settings or data: choose another folder")
        for line in whole[1:]:
            said = _read(path, line)
            scores = {name: Score(s["metrics"], np.array(s["units"])) for name, s in said["scores"].items()}
            self._found[said["seed"], said["n"], said["arm"]] = scores
        self._whole = whole or [_line(about)]

    def begin(self) -> None:
        """Writes the file without what was cut off, once all that a head needs is there."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("wb") as file:
            file.writelines(self._whole)

    def get(self, key: Key) -> dict[str, Score] | None:
        """Test -> score, if the head was trained."""
        return self._found.get(key)

    def add(self, key: Key, scores: dict[str, Score]) -> None:
        self._found[key] = scores
        said = {name: {"metrics": each.metrics, "units": each.units.tolist()} for name, each in scores.items()}
        with self._path.open("ab") as file:
            file.write(_line({"seed": key[0], "n": key[1], "arm": key[2], "scores": said}))
            file.flush()
            os.fsync(file.fileno())


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _read(path: Path, line: bytes) -> dict[str, Any]:
    try:
        return json.loads(line)
    except ValueError as error:
        raise BenchError(f"{path} is damaged: remove it, and train anew") from error
