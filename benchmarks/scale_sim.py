"""Plays workers, failures and slow workers over the launchers' schedules: how long a run takes, and what is wasted.

A discrete-event simulation: nothing is drawn, and every speed, failure rate and restart time is assumed, not measured.

    python benchmarks/scale_sim.py                 # writes results/scale_sim.{json,md,png}
    python benchmarks/scale_sim.py --flops         # counts the arithmetic of Stable Diffusion 1.5's shapes

Static parts are those of `dualsafe.pairs.launch.span`, as the SLURM script takes them. The queue is what
`ProcessPoolExecutor` does, and Ray Data with one task in flight: whoever is free takes the next shard.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import shlex
import statistics
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from dualsafe.pairs.launch import span

RESULTS = Path(__file__).resolve().parent / "results"
SIZES = (100, 1000, 10000)
HOUR = 3600.0
PATIENCE = 20
"""Times as long as it should take, after which a run is given up."""


@dataclass(frozen=True)
class Scenario:
    """A run and the machines that it has.

    Attributes:
        rows: of the denoiser, for both sides of a pair.
        row_seconds: for one row on one worker; assumed.
        load: seconds until a started worker has its models; assumed.
        failures: of a worker, per hour that it is up; assumed.
        restart: seconds until a failed worker is started again; assumed.
        stragglers: share of the workers that are slow throughout; assumed.
        slowdown: how many times longer those take; assumed.
    """

    pairs: int = 1_000_000
    shard_size: int = 1000
    rows: float = 188.0
    row_seconds: float = 0.0076
    workers: int = 64
    load: float = 60.0
    failures: float = 0.01
    restart: float = 300.0
    stragglers: float = 0.05
    slowdown: float = 2.0

    @property
    def shards(self) -> int:
        return -(-self.pairs // self.shard_size)

    def work(self, shard: int) -> float:
        """Seconds that a shard takes a worker that isn't slow."""
        return min(self.shard_size, self.pairs - shard * self.shard_size) * self.rows * self.row_seconds

    def ideal(self, speeds: Iterable[float]) -> float:
        """Seconds if all workers were busy from beginning to end."""
        return self.pairs * self.rows * self.row_seconds / sum(speeds)


@dataclass(frozen=True)
class Engine:
    """How a launcher hands out shards, and whom a failure takes along.

    Attributes:
        handout: "queue": whoever is free takes the next; "span": settled beforehand.
        together: one failure ends all workers, and what is missing is handed out anew.
        tasks: for each worker; whoever is free starts the next one, which loads its models anew.
    """

    handout: str
    together: bool
    tasks: int = 1

    def queues(self, missing: list[int], workers: int) -> list[deque[int]]:
        """What each task takes its next shard from: one queue for all, or one each."""
        tasks = self.tasks * workers
        if self.handout == "queue":
            return [deque(missing)] * tasks
        spans = [span(len(missing), task, tasks) for task in range(tasks)]
        return [deque(missing[each.start : each.stop]) for each in spans]


ENGINES = {
    "ray": Engine("queue", together=False),
    "local": Engine("queue", together=True),
    "slurm, 1 task a worker": Engine("span", together=False),
    "slurm, 8 tasks a worker": Engine("span", together=False, tasks=8),
}


@dataclass
class Outcome:
    """What a run came to; all but `failures` in seconds, those but `makespan` summed over workers.

    Attributes:
        lost: spent on shards that a failure undid.
        down: restarting and loading models.
        idle: waiting for the others, with nothing left to do.
        order: shards in the order in which they were begun, with their worker.
    """

    makespan: float = 0.0
    useful: float = 0.0
    lost: float = 0.0
    down: float = 0.0
    idle: float = 0.0
    failures: int = 0
    ended: bool = True
    order: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class _Worker:
    speed: float
    since: float = 0.0
    shard: int | None = None
    up: bool = False
    life: int = 0


class Simulation:
    """One run under one engine.

    Args:
        seed: of failures, and of which workers are slow.
    """

    def __init__(self, scenario: Scenario, engine: Engine, seed: int = 0):
        self._scenario, self._engine, self._rng = scenario, engine, random.Random(seed)
        slow = {*self._rng.sample(range(scenario.workers), round(scenario.stragglers * scenario.workers))}
        self._workers = [_Worker(1 / scenario.slowdown if i in slow else 1.0) for i in range(scenario.workers)]
        self._missing = set(range(scenario.shards))
        self._hand_out()
        self._events: list[tuple[float, int, str, int, int]] = []
        self.outcome, self._count = Outcome(), 0

    def run(self) -> Outcome:
        """Plays the run to its last shard, or until it takes `PATIENCE` times as long as it should."""
        for index in range(len(self._workers)):
            self._start(0.0, index)
        limit = PATIENCE * self._scenario.ideal(worker.speed for worker in self._workers)
        now = 0.0
        while self._missing and now < limit:
            now, _, kind, index, life = heapq.heappop(self._events)
            if life == self._workers[index].life:
                {"ready": self._ready, "done": self._done, "fail": self._fail}[kind](now, index)
        outcome = self.outcome
        outcome.makespan, outcome.ended = now, not self._missing
        for worker in self._workers:
            self._spend(worker, now)
        outcome.idle = len(self._workers) * now - outcome.useful - outcome.lost - outcome.down
        return outcome

    def _hand_out(self) -> None:
        queues = self._engine.queues(sorted(self._missing), len(self._workers))
        self._queues, self._later = queues[: len(self._workers)], deque(queues[len(self._workers) :])

    def _start(self, now: float, index: int) -> None:
        worker, scenario = self._workers[index], self._scenario
        worker.since, worker.shard, worker.up = now, None, False
        worker.life += 1
        begin = now + (scenario.restart if worker.life > 1 else 0.0)
        self._push(begin + scenario.load, "ready", index)
        if scenario.failures:
            self._push(begin + self._rng.expovariate(scenario.failures) * HOUR, "fail", index)

    def _ready(self, now: float, index: int) -> None:
        self._spend(self._workers[index], now)
        self._workers[index].up = True
        self._take(now, index)

    def _done(self, now: float, index: int) -> None:
        worker = self._workers[index]
        assert worker.shard is not None
        self._missing.discard(worker.shard)
        self.outcome.useful += now - worker.since
        worker.shard = None
        self._take(now, index)

    def _fail(self, now: float, index: int) -> None:
        worker = self._workers[index]
        if worker.up and worker.shard is None and not self._engine.together:
            return  # its process has ended
        self.outcome.failures += 1
        fallen = range(len(self._workers)) if self._engine.together else [index]
        lost = {each: self._workers[each].shard for each in fallen}
        for each in fallen:
            self._spend(self._workers[each], now)
            self._start(now, each)
        if self._engine.together:
            self._hand_out()
        elif (shard := lost[index]) is not None:
            self._queues[index].appendleft(shard)
            if self._engine.handout == "queue":
                self._wake(now)

    def _wake(self, now: float) -> None:
        """Has somebody who waits take the shard that came back."""
        for index, worker in enumerate(self._workers):
            if worker.up and worker.shard is None:
                return self._take(now, index)

    def _take(self, now: float, index: int) -> None:
        worker = self._workers[index]
        if self._queues[index]:
            worker.shard, worker.since = self._queues[index].popleft(), now
            self.outcome.order.append((worker.shard, index))
            self._push(now + self._scenario.work(worker.shard) / worker.speed, "done", index)
        elif self._later:
            self._queues[index], worker.up, worker.since = self._later.popleft(), False, now
            self._push(now + self._scenario.load, "ready", index)

    def _spend(self, worker: _Worker, now: float) -> None:
        """Books the time of a worker that is interrupted, or that has loaded its models."""
        if not worker.up:
            self.outcome.down += now - worker.since
        elif worker.shard is not None:
            self.outcome.lost += now - worker.since
        worker.since = now

    def _push(self, when: float, kind: str, index: int) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, kind, index, self._workers[index].life))


def measure(scenario: Scenario, sizes: Iterable[int], seeds: int) -> dict[str, dict[str, dict]]:
    """Engine -> shard size -> medians over seeds, with the least and the longest makespan."""
    return {
        name: {str(size): _measured(replace(scenario, shard_size=size), engine, seeds) for size in sizes}
        for name, engine in ENGINES.items()
    }


def _measured(scenario: Scenario, engine: Engine, seeds: int) -> dict[str, float]:
    outcomes = [Simulation(scenario, engine, seed).run() for seed in range(seeds)]
    total = [scenario.workers * each.makespan for each in outcomes]
    spans = [each.makespan / HOUR for each in outcomes]
    shares = {
        name: statistics.median(getattr(each, name) / whole for each, whole in zip(outcomes, total))
        for name in ("useful", "lost", "down", "idle")
    }
    return {
        **{"hours": statistics.median(spans), "least": min(spans), "most": max(spans)},
        **shares,
        "failures": statistics.median(each.failures for each in outcomes),
        "given_up": sum(not each.ended for each in outcomes),
    }


def table(results: dict[str, dict[str, dict]]) -> str:
    """Rows of results as a markdown table."""
    lines = [
        "| engine | shard size | hours | least - most | lost work | restart, load | idle | failures |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, sizes in results.items():
        for size, row in sizes.items():
            most = f"{row['most']:.2f}" + (", given up" if row["given_up"] else "")
            cells = [name, size, f"{row['hours']:.2f}", f"{row['least']:.2f} - {most}"]
            cells += [f"{row[share]:.1%}" for share in ("lost", "down", "idle")]
            lines.append("| " + " | ".join([*cells, f"{row['failures']:.0f}"]) + " |")
    return "\n".join(lines)


def draw(results: dict[str, dict[str, dict]], ideal: float, path: Path) -> None:
    """Makespans on the left, where the workers' time goes on the right."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=(1, 1.15))
    for number, (name, sizes) in enumerate(results.items()):
        x = [i + 0.07 * (number - 2) for i in range(len(sizes))]
        y = [row["hours"] for row in sizes.values()]
        spread = [[abs(row["hours"] - row[end]) for row in sizes.values()] for end in ("least", "most")]
        left.errorbar(x, y, spread, marker="o", markersize=4, linewidth=1, capsize=2, label=name)
    left.axhline(ideal, color="#999999", linestyle="--", linewidth=1, label="no failure, no wait")
    sizes = list(next(iter(results.values())))
    left.set_xticks(range(len(sizes)), sizes)
    left.set_yscale("log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_minor_locator(NullLocator())
    left.yaxis.set_major_formatter("{x:g}")
    left.set_xlabel("shard size, pairs")
    left.set_title("hours until the last shard", loc="left")
    left.legend(frameon=False)
    labels = [f"{name}, {size}" for name in results for size in sizes]
    rows = [row for each in results.values() for row in each.values()]
    start = [0.0] * len(rows)
    colours = {"lost": "#c0392b", "down": "#e0a030", "idle": "#b8b8b8"}
    for share, said in {"lost": "lost work", "down": "restart and load", "idle": "idle"}.items():
        values = [100 * row[share] for row in rows]
        right.barh(labels, values, left=start, color=colours[share], label=said)
        start = [a + b for a, b in zip(start, values)]
    right.invert_yaxis()
    right.set_xlabel("% of the workers' time")
    right.set_title("waste", loc="left")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def flops() -> dict[str, float]:
    """TFLOP of a batch row of the denoiser and of a decoded picture, 512x512, for Stable Diffusion 1.5's shapes."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from torch.utils.flop_counter import FlopCounterMode

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    with torch.device("meta"):  # shapes alone: no weight is allocated
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        vae = AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, **blocks)
        latents, text, step = torch.empty(1, 4, 64, 64), torch.empty(1, 77, 768), torch.tensor(1)
    calls = {"row": lambda: unet(latents, step, text), "decoded picture": lambda: vae.decode(latents)}
    counted = {"million weights": sum(weight.numel() for weight in unet.parameters()) / 1e6}
    for name, call in calls.items():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            call()
        counted[name] = counter.get_total_flops() / 1e12
    return counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(Scenario()).items():
        if name != "shard_size":
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"{value}")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="pairs of a shard")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--flops", action="store_true", help="only count the arithmetic of the denoiser")
    arguments = vars(parser.parse_args())

    if arguments.pop("flops"):
        return print(json.dumps(flops(), indent=2))
    sizes, seeds, out = (arguments.pop(name) for name in ("sizes", "seeds", "out"))
    scenario = Scenario(**arguments)
    results = measure(scenario, sizes, seeds)
    slow = round(scenario.stragglers * scenario.workers)
    ideal = scenario.ideal([1.0] * (scenario.workers - slow) + [1 / scenario.slowdown] * slow) / HOUR
    text = f"{table(results)}\n\nWith no failure and no wait: {ideal:.2f} hours."
    command = shlex.join(["python", "benchmarks/scale_sim.py", *sys.argv[1:]])
    record = {"command": command, "assumed": asdict(scenario) | {"shard_size": sizes}, "seeds": seeds, "ideal": ideal}
    out.mkdir(parents=True, exist_ok=True)
    (out / "scale_sim.json").write_text(json.dumps(record | {"results": results}, indent=2) + "\n")
    (out / "scale_sim.md").write_text(text + "\n")
    draw(results, ideal, out / "scale_sim.png")
    print(text)


if __name__ == "__main__":
    main()
