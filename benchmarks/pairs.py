"""What a pair run costs beside its denoiser, and whether its memory grows.

    python benchmarks/pairs.py speed
    python benchmarks/pairs.py memory

Writes benchmarks/results/pairs_{speed,memory}.{json,md}. "speed": the same picto jobs are drawn alone and then as a
shard, verified and written, by turns in one process; the ratio of both rates should be at least 0.9. "memory": a run of
100,000 prompts whose editor needs no model; the resident set should stay where it was after the first tenth.
"""

from __future__ import annotations

import csv
import os
import resource
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from harness import write

from dualsafe.pairs.plan import jobs_of, plan
from dualsafe.pairs.run import run
from dualsafe.pairs.spec import PairSpec
from dualsafe.pairs.worker import Worker

SHARDS, SHARD, STEPS = 12, 16, 25
PROMPTS = 100_000


def speed(shards: int = SHARDS, shard: int = SHARD, steps: int = STEPS) -> dict[str, float]:
    """Pairs a second of drawing alone and of whole shards."""
    with tempfile.TemporaryDirectory() as name:
        spec = PairSpec("picto:explicit", limit=shards * shard, shard_size=shard, steps=steps, guidance_scale=5.0)
        plan(spec, Path(name))
        worker = Worker(Path(name))
        worker.editor.make(jobs_of(Path(name), 0)[: spec.batch_size])  # the first call allocates
        seconds = {"alone": 0.0, "whole": 0.0}
        for index in range(shards):
            jobs = jobs_of(Path(name), index)
            turns = {"alone": partial(worker.editor.make, jobs), "whole": partial(worker.run_shard, index)}
            for kind in sorted(turns, reverse=bool(index % 2)):  # who begins is warmer, so they take turns
                begin = time.perf_counter()
                turns[kind]()
                seconds[kind] += time.perf_counter() - begin
    pairs = shards * shard
    rates = {kind: pairs / taken for kind, taken in seconds.items()}
    return {"pairs": pairs, **rates, "ratio": rates["whole"] / rates["alone"]}


def memory(prompts: int = PROMPTS, shard: int = 1000) -> dict[str, Any]:
    """The resident set, in MiB, after each tenth of a dry run."""
    with tempfile.TemporaryDirectory() as name:
        path, seen = Path(name) / "prompts.csv", list[tuple[int, float]]()
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "prompt"])
            rows.writerows([f"id-{i}", f"a man with a knife in park {i}"] for i in range(prompts))
        spec = PairSpec(
            str(path), editor="null", policy="picto", shard_size=shard, batch_size=100, keep_unverified=True
        )
        run(spec, Path(name) / "run", progress=lambda done, total: seen.append((done, resident())))
    tenths = [next(mib for done, mib in seen if done >= prompts * t / 10) for t in range(1, 11)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # with statistics, card and previews
    return {"prompts": prompts, "resident_mib": tenths, "growth_mib": tenths[-1] - tenths[0], "peak_mib": peak}


def resident() -> float:
    """What this process holds in memory, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    asked = sys.argv[1:]
    if asked == ["speed"]:
        found, head = speed(), "| | pairs a second |"
        rows = {"drawing alone": f"{found['alone']:.2f}", "drawing, verifying, writing": f"{found['whole']:.2f}"}
        rows["ratio"] = f"{found['ratio']:.3f}"
        settings: dict[str, Any] = {"shards": SHARDS, "shard_size": SHARD, "steps": STEPS}
    elif asked == ["memory"]:
        found, head = memory(), "| prompts done | resident, MiB |"
        rows = {f"{t * PROMPTS // 10}": f"{mib:.0f}" for t, mib in enumerate(found["resident_mib"], 1)}
        rows["peak, card and previews included"] = f"{found['peak_mib']:.0f}"
        settings = {"prompts": PROMPTS}
    else:
        raise SystemExit("say speed or memory")
    table = "\n".join([head, "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])
    write(f"pairs_{asked[0]}", "pairs.py", found, table, threads=torch.get_num_threads(), **settings)


if __name__ == "__main__":
    main()
