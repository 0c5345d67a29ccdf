"""Grading judges on counterfactual pairs: who is asked what, and the record of what they said."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..bench.environment import surroundings
from ..bench.record import Record
from ..errors import BenchError
from ..judges import Judge, ask, load_judge, name_of
from ..judges.trained import GuardJudge
from ..pairs.read import StoredPair, read_index, read_pairs
from ..pairs.spec import read_run
from .answers import Conflict
from .board import write_results

_COMPARED = ("judges", "judge_specs", "pairs", "split", "limit", "batch_size")


def evaluate(
    folders: Sequence[str | Path],
    judges: Sequence[str | Judge],
    out: str | Path,
    limit: int | None = None,
    resume: bool = False,
    batch_size: int = 64,
    command: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    split: str | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Asks every judge about both sides of the verified pairs of some runs, and scores the answers.

    A judge that breaks down has its answers recorded as errors, and the others go on.

    Args:
        folders: of pair runs.
        judges: judges, or specs of `load_judge`, by which one is known that steered the pairs as a preview guard.
        out: the folder of this run.
        limit: pairs of each folder; None takes all.
        resume: go on with a run that was stopped in `out`.
        batch_size: pairs that a judge is asked about at a time.
        progress: is told how many pairs are done, of how many.
        split: take the pairs of this split only: "train", "validation" or "test"; None takes all.
        device: of judges that are given as specs.

    Returns:
        The results, as in `results.json`.

    Raises:
        BenchError: no pair to grade on, judges of the same name, or a folder that cannot be written to or resumed.
        PairsError: a folder that holds no pairs, or some that cannot be read.
        ValueError: an unknown judge.
    """
    if batch_size < 1:
        raise BenchError(f"batch_size={batch_size} must be at least 1")
    loaded = _loaded(judges, device)
    sources = [_Source(Path(folder), split, limit) for folder in folders]
    if len({source.folder.resolve() for source in sources}) < len(sources):
        raise BenchError(f"folders={[str(folder) for folder in folders]} has the same folder twice")
    total = sum(source.n for source in sources)
    if not total:
        raise BenchError(f"folders={[str(folder) for folder in folders]} hold no verified pair, split={split}")
    run = {
        "judges": list(loaded),
        "judge_specs": [spec for spec, _ in loaded.values()],
        "pairs": [source.described() for source in sources],
        "n": total,
        "split": split,
        "limit": limit,
        "batch_size": batch_size,
        "comparable": limit is None,
        **surroundings(),
        "command": command,
    }
    record = Record(Path(out), run, _COMPARED, resume)
    pairs = (item for number, source in enumerate(sources) for item in source.pairs(number))
    done = unit = 0
    while batch := list(islice(pairs, batch_size)):
        if unit == record.done:
            record.add([line for name in loaded for line in _asked(name, *loaded[name], batch, done)])
        unit, done = unit + 1, done + len(batch)
        progress(done, total)
    return write_results(out)


class _Source:
    """The pairs of one run's folder that judges are graded on.

    Attributes:
        n: how many those are.
        filters: names and specs of the judges that verified or steered them.
    """

    def __init__(self, folder: Path, split: str | None, limit: int | None):
        self.folder, self._split, self._limit = folder, split, limit
        self._run = read_run(folder)
        self.filters = {*self._run["judges"], self._run["guard"]}
        self.n = self._left_out = 0
        digest = hashlib.sha256()
        for row in read_index(folder):
            self._left_out += row["tier"] != "verified"
            if self._counts(row) and self.n != limit:
                self.n += 1
                digest.update(f"{row['pair_id']} {row['original_sha256']} {row['edited_sha256']}\n".encode())
        self._hash = digest.hexdigest()

    def described(self) -> dict[str, Any]:
        """What `run.json` holds of it."""
        about = {name: self._run[name] for name in ("spec_hash", "kind", "policy", "editor", "model")}
        counts = {"n": self.n, "unverified_left_out": self._left_out, "data_hash": self._hash}
        return {"folder": str(self.folder), **about, **counts, "filters": sorted(filter(None, self.filters))}

    def pairs(self, number: int) -> Iterator[tuple[int, _Source, StoredPair]]:
        counted = (pair for pair in read_pairs(self.folder) if self._counts(pair.row))
        yield from ((number, self, pair) for pair in islice(counted, self.n))

    def conflict(self, name: str, spec: str, judge: Judge, row: dict[str, Any]) -> Conflict | None:
        """Why the judge cannot grade the pair fairly, if it cannot."""
        if {name, spec} & self.filters or name in row["verdicts"]:
            return "filtered"
        trained = isinstance(judge, GuardJudge) and judge.about.get("data") == self._run["spec_hash"]
        return "trained" if trained and row["split"] == "train" else None

    def _counts(self, row: dict[str, Any]) -> bool:
        return row["tier"] == "verified" and self._split in (None, row["split"])


def _loaded(judges: Sequence[str | Judge], device: str) -> dict[str, tuple[str, Judge]]:
    """Name -> spec, which is the name again where there is none, and judge."""
    both = [(each, load_judge(each, device)) if isinstance(each, str) else (name_of(each), each) for each in judges]
    loaded = {name_of(judge): (spec, judge) for spec, judge in both}
    if not judges or len(loaded) < len(both):
        raise BenchError(f"judges={[name_of(judge) for _, judge in both]} must be one or several of different names")
    return loaded


def _asked(
    name: str, spec: str, judge: Judge, batch: list[tuple[int, _Source, StoredPair]], first: int
) -> list[dict[str, Any]]:
    """A line a pair."""
    pictures = [_bare(side) for _, _, pair in batch for side in (pair.original, pair.edited)]
    verdicts = [verdict.to_dict() for verdict in ask(judge, pictures)]
    return [
        {
            "judge": name,
            "pair": first + i,
            "folder": number,
            **{key: pair.row[key] for key in ("pair_id", "kind", "split", "categories", "mask_area")},
            "ssim": pair.row["metrics"]["ssim"],
            "conflict": source.conflict(name, spec, judge, pair.row),
            "original": verdicts[2 * i],
            "edited": verdicts[2 * i + 1],
        }
        for i, (number, source, pair) in enumerate(batch)
    ]


def _bare(picture: Image.Image) -> Image.Image:
    """The pixels alone: a stored picture carries its label."""
    return Image.fromarray(np.asarray(picture.convert("RGB")))
