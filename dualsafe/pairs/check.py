"""Whether a pair run is whole: no shard cut off, no pair lost, none twice, no picture other than its row says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import PairsError
from .pair import picture_hash
from .plan import is_planned, jobs_of
from .read import read_shard
from .shard import SHARDS, paths_of, wrong_with
from .spec import DAMAGED, read_run


def check(folder: Path, repair: bool = False) -> Iterator[tuple[int, str]]:
    """Every shard that is missing or wrong, with the reason.

    Args:
        repair: take the marks off the wrong ones, so that a resumed run makes them, and only them, again.

    Raises:
        PairsError: no pair run, or its plan is not what was written.
    """
    run = read_run(folder)
    if not is_planned(folder, run):
        raise PairsError(f"the plan of {folder} is not as it was written: {DAMAGED}")
    for index in range(run["shards"]):
        wrong = wrong_with(folder, index) or _wrong_within(folder, index)
        if wrong and repair:
            paths_of(folder, index)["stats"].unlink(missing_ok=True)
        if wrong:
            yield index, wrong


def foreign(folder: Path) -> list[Path]:
    """Files among the shards that are not of the run; nothing reads them.

    Raises:
        PairsError: no pair run.
    """
    ours = {path for index in range(read_run(folder)["shards"]) for path in paths_of(folder, index).values()}
    there = [path for path in sorted((folder / SHARDS).glob("*")) if not path.name.endswith(".partial")]
    return [path for path in there if path not in ours]


def _wrong_within(folder: Path, index: int) -> str | None:
    paths = paths_of(folder, index)
    stats = json.loads(paths["stats"].read_text(encoding="utf-8"))
    planned, seen = {job.pair_id for job in jobs_of(folder, index)}, set[str]()
    try:
        for pair in read_shard(paths["tar"]):
            name = pair.row["pair_id"]
            if name in seen:
                return f"pair {name} is there twice"
            if name not in planned:
                return f"pair {name} is not of this shard"
            seen.add(name)
            for side in ("original", "edited"):
                if picture_hash(getattr(pair, side)) != pair.row[f"{side}_sha256"]:
                    return f"pair {name}: its {side} picture is not the one that was made"
    except (PairsError, KeyError, OSError, ValueError) as error:
        return f"{paths['tar'].name} cannot be read: {error}"
    return _miscounted(stats, len(planned), len(seen), _failed(paths["errors"]))


def _miscounted(stats: dict[str, Any], planned: int, written: int, failed: int) -> str | None:
    stages = stats["stages"]
    if stages["written"] != written:
        return f"{written} pairs are there, {stages['written']} were written"
    accounted = stages["generated"] + sum(stats["declined"].values()) + failed
    if accounted != planned:
        return f"{planned} jobs were planned, {accounted} are accounted for"
    return None


def _failed(errors: Path) -> int:
    """Jobs of which no pair was made because something failed."""
    with errors.open(encoding="utf-8") as file:
        return sum(json.loads(line)["stage"] != "verify" for line in file)
