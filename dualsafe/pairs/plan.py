"""From prompts to shards of jobs, once: a worker then needs its own shard's file and nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from ..bench.environment import machine, source_state, versions
from ..errors import PairsError
from ..files import partial_of, sha256_of, write_json
from ..policy import resolve
from .pair import Job
from .prompts import Prompts, read_prompts
from .spec import DAMAGED, RUN, PairSpec, read_run, seed_of

PLAN, PLAN_ERRORS, HASH = "plan", "errors.jsonl", "spec_hash"


def shard_name(index: int) -> str:
    return f"{index:05d}"


def plan(spec: PairSpec, folder: Path, resume: bool = False, command: str | None = None) -> dict[str, Any]:
    """Divides a run into shards, or finds that it is divided already.

    Args:
        resume: take up a run of the same spec in `folder`.

    Returns:
        What `run.json` holds.

    Raises:
        PairsError: a folder that holds another run, or one at all without `resume`; prompts that cannot be read, or of
            which not one can be used.
        PolicyError: there is no such policy.
    """
    policy = resolve(spec.policy or ("picto" if spec.model == "picto" else "i2p"))
    prompts = read_prompts(spec.prompts, spec.kind, spec.limit, captioned=spec.captioner is not None)
    spec_hash = spec.hash(f"{prompts.data_hash} {policy.id}@{policy.hash}")
    found = [*folder.iterdir()] if folder.is_dir() else []  # first, as another process may be planning the same run
    ours = _planned_as(folder)
    if (folder / RUN).is_file():
        try:
            held = read_run(folder)
        except PairsError:
            if not resume or ours != spec_hash:
                raise
            held = None  # it is damaged, and written again
        if held is not None and held["spec_hash"] != spec_hash:
            raise PairsError(f"{folder} holds another run, of spec {held['spec_hash']}, not {spec_hash}")
        if not resume:
            raise PairsError(f"{folder} holds this run already: resume it, or choose another folder")
        if held is not None and is_planned(folder, held):
            return held
    elif ours is None and (folder / PLAN).exists():
        raise PairsError(f"{folder / PLAN} is not a pair run's: choose another folder")
    elif any(path.name != PLAN and not path.name.startswith(".") for path in found):
        raise PairsError(f"{folder} holds something else than a pair run: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    counts = _write_plan(spec, spec_hash, prompts, folder)
    run = {
        "spec": asdict(spec),
        "spec_hash": spec_hash,
        "data_hash": prompts.data_hash,
        "columns": prompts.columns,
        "ignored_columns": list(prompts.ignored),
        "policy": f"{policy.id}@{policy.hash}",
        **counts,
        "plan_sha256": _plan_hash(folder),
        "versions": versions(),
        "environment": machine(),
        "git": source_state(),
        "command": command,
    }
    write_json(folder / RUN, run)
    return run


def jobs_of(folder: Path, index: int) -> list[Job]:
    """The jobs of a shard.

    Raises:
        PairsError: the run has no such shard, or its file is damaged.
    """
    path = folder / PLAN / f"{shard_name(index)}.jsonl"
    try:
        return [_job(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise PairsError(f"{path} cannot be read: {DAMAGED}") from error


def is_planned(folder: Path, run: dict[str, Any]) -> bool:
    """Whether the plan of a run, whose `run.json` holds `run`, is as it was written."""
    try:
        found = _plan_hash(folder)
    except OSError:
        return False
    return run.get("plan_sha256", found) == found


def _plan_hash(folder: Path) -> str:
    """SHA-256 of the plan's files, names and contents.

    Raises:
        OSError: there is none, or one of them cannot be read.
    """
    files = sorted(path for path in (folder / PLAN).iterdir() if path.is_file())
    return hashlib.sha256("".join(f"{path.name} {sha256_of(path)}\n" for path in files).encode()).hexdigest()


def _planned_as(folder: Path) -> str | None:
    """The hash of the spec whose plan is there."""
    try:
        return (folder / PLAN / HASH).read_text()
    except (OSError, ValueError):
        return None


def _job(said: dict[str, Any]) -> Job:
    image = Path(said["image"]) if said["image"] else None
    return Job(**said | {"categories": tuple(said["categories"]), "image": image})


def _write_plan(spec: PairSpec, spec_hash: str, prompts: Prompts, folder: Path) -> dict[str, int]:
    """Writes the folder `plan` whole or not at all; another process of the same run may do so at the same time."""
    partial = partial_of(folder / PLAN)
    partial.mkdir()
    try:
        counts = _fill(spec, prompts, partial)
        if not counts["jobs"]:
            raise PairsError(f"prompts={spec.prompts!r} has no row that can be used: {_first_error(partial)}")
        (partial / HASH).write_text(spec_hash)
        if (folder / PLAN).is_dir() and (_planned_as(folder) != spec_hash or (folder / RUN).is_file()):
            shutil.rmtree(folder / PLAN)  # of another run, killed before it began, or damaged
        try:
            partial.rename(folder / PLAN)
        except OSError:
            if not (folder / PLAN).is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return counts


def _fill(spec: PairSpec, prompts: Prompts, folder: Path) -> dict[str, int]:
    """Writes the shards' jobs and the rows that cannot be used; counts them."""
    counts = {"prompts": 0, "bad_rows": 0, "jobs": 0, "shards": 0}
    with (folder / PLAN_ERRORS).open("w", encoding="utf-8") as errors:
        jobs = _all_jobs(spec, prompts, errors, counts)
        for first in jobs:
            path = folder / f"{shard_name(counts['shards'])}.jsonl"
            with path.open("w", encoding="utf-8") as shard:
                for job in (first, *islice(jobs, spec.shard_size - 1)):
                    image = str(job.image) if job.image else None
                    shard.write(json.dumps(asdict(job) | {"image": image}, ensure_ascii=False) + "\n")
                    counts["jobs"] += 1
            counts["shards"] += 1
    return counts


def _all_jobs(spec: PairSpec, prompts: Prompts, errors: IO[str], counts: dict[str, int]) -> Iterator[Job]:
    for number, row in enumerate(prompts.rows, 1):
        if isinstance(row, str):
            counts["bad_rows"] += 1
            said = {"pair_id": None, "row": number, "stage": "plan", "reason": row}
            errors.write(json.dumps(said, ensure_ascii=False) + "\n")
            continue
        counts["prompts"] += 1
        for k in range(spec.pairs_per_prompt):
            seed = seed_of(spec.run_id, row.prompt_id, k)
            yield replace(row, pair_id=f"{row.pair_id}-{k:04d}", seed=seed)
        if counts["prompts"] == spec.limit:
            return


def _first_error(folder: Path) -> str:
    with (folder / PLAN_ERRORS).open(encoding="utf-8") as file:
        first = file.readline()
    return json.loads(first)["reason"] if first else "it has none"
