"""A pair run from its spec to its statistics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import PairsError
from ..files import write_json, write_whole
from .card import write_card
from .launch import engine as engine_named
from .plan import PLAN, PLAN_ERRORS, plan
from .previews import write_previews
from .read import read_index
from .shard import SHARDS, is_done, paths_of
from .spec import STATS, PairSpec, read_run
from .tally import Tally

ERRORS = "errors.jsonl"


def run(
    spec: PairSpec,
    folder: Path,
    *,
    engine: str = "local",
    workers: int = 1,
    device: str = "cpu",
    shards: range | None = None,
    resume: bool = False,
    command: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any] | None:
    """Makes the shards of a run that are not done yet.

    Args:
        engine: one of `dualsafe.pairs.launch.ENGINES`.
        shards: of a run that many machines share, this one's part; None makes all.
        resume: go on in a folder that holds this run already.
        progress: is told how many jobs are done, of how many.

    Returns:
        The statistics, as in `stats.json`, once all shards are done; None while another machine's are missing.

    Raises:
        PairsError: a spec, folder, engine or range that cannot be, or nothing but failures.
        PolicyError, CheckpointError, ValueError: a policy, model, editor or judge that cannot be.
    """
    launch = engine_named(engine)
    if workers < 1:
        raise PairsError(f"workers={workers} must be at least 1")
    shared = shards is not None  # others take up the same run at the same time
    planned = plan(spec, folder, resume or shared, command)
    every = range(planned["shards"])
    wanted = every if shards is None else shards
    if wanted and (wanted.start < 0 or wanted.stop > every.stop):
        raise PairsError(f"shards={wanted.start}:{wanted.stop} is not within the run's 0:{every.stop}")
    missing = [index for index in wanted if not is_done(folder, index)]
    done = 0

    def told(jobs: int) -> None:
        nonlocal done
        done += jobs
        progress(done, _jobs(spec, planned["jobs"], missing))

    if missing:
        launch(folder, missing, workers, device, told)
    return finish(folder)


def finish(folder: Path) -> dict[str, Any] | None:
    """Gathers errors and statistics, and writes card and previews, once all shards are done; None before."""
    planned = read_run(folder)
    indexes = range(planned["shards"])
    if not all(is_done(folder, index) for index in indexes):
        return None
    write_whole(folder / ERRORS, lambda file: _gather_errors(folder, indexes, file))
    stats = _summed(folder, indexes) | {"bad_rows": planned["bad_rows"]}
    write_json(folder / STATS, stats)
    if stats["stages"]["written"]:
        write_previews(folder)
        write_card(folder, stats, planned, Tally(read_index(folder)))
    for left in (folder / SHARDS).glob(".*.partial"):  # of workers that were killed
        left.unlink(missing_ok=True)
    return stats


def _jobs(spec: PairSpec, jobs: int, shards: list[int]) -> int:
    return sum(min(spec.shard_size, jobs - index * spec.shard_size) for index in shards)


def _gather_errors(folder: Path, indexes: range, file: Any) -> None:
    for path in (folder / PLAN / PLAN_ERRORS, *(paths_of(folder, index)["errors"] for index in indexes)):
        file.write(path.read_bytes())


def _summed(folder: Path, indexes: range) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    named: dict[str, Counter[str]] = {name: Counter() for name in ("stages", "declined", "rejected", "seconds")}
    categories: dict[str, Counter[str]] = {}
    for index in indexes:
        stats = json.loads(paths_of(folder, index)["stats"].read_text(encoding="utf-8"))
        counts.update({name: stats[name] for name in ("jobs", "errors", "denoiser_rows")})
        for name, counter in named.items():
            counter.update(stats[name])
        for name, found in stats["categories"].items():
            categories.setdefault(name, Counter()).update(found)
    return {
        "shards": len(indexes),
        **counts,
        **{name: dict(counter) for name, counter in named.items()},
        "categories": {name: dict(found) for name, found in sorted(categories.items())},
    }
