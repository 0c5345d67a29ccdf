"""Guards trained on pairs: two arms at equal numbers of pictures, over sizes and seeds, and one guard to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from ..bench.environment import surroundings
from ..bench.record import Record, read_samples
from ..errors import BenchError
from ..files import write_json, write_text
from ..judges.trained import GuardJudge, Head
from ..judges.vision import load_tower
from ..pairs.shard import SHARDS
from ..pairs.spec import read_run
from .arms import ARMS, MEANING, Arm, draw
from .control import real_or_edited
from .curve import Score, plot, score, summary, table
from .features import Labelled, Sides, flips, labelled, read_pictures, read_sides
from .probe import Probe

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
HELD_OUT = "held-out prompt families"


@dataclass(frozen=True)
class TrainSettings:
    """What a training run is.

    Attributes:
        pairs: folder of a pair run; it trains on its training families, and tests on its test families.
        features: tower, as `dualsafe.judges.vision.load_tower` names it.
        sizes: pictures in all, of each arm; those over the number of training pairs are left out.
        seeds: draws of each arm and size.
        also: name -> further test set: a pair run, of whose families none is trained on, or a folder with the folders
            "unsafe" and "safe" of pictures that no editor touched.
        nulls: folders of null-edit pairs, for the control.
    """

    pairs: Path
    features: str = "picto-clip"
    sizes: tuple[int, ...] = SIZES
    seeds: int = 20
    also: dict[str, Path] = field(default_factory=dict)
    nulls: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.seeds < 5:
            raise BenchError(f"seeds={self.seeds} must be at least 5")
        if not self.sizes or any(n < 2 or n % 2 for n in self.sizes):
            raise BenchError(f"sizes={list(self.sizes)} must be even numbers")
        if HELD_OUT in self.also:
            raise BenchError(f"also has {HELD_OUT!r}, which is the name of the run's own test set")


def train(
    settings: TrainSettings,
    out: Path,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
    resume: bool = False,
) -> dict[str, Any]:
    """Trains and tests all arms; writes curve.json, curve.png, table.md and the folder "guard" to `out`.

    The guard that is kept is trained on both sides of all training pairs. Each head's scores are kept as they are made.

    Args:
        resume: go on with what a stopped run of the same settings has made in `out`.
        progress: is told how many heads are trained, of how many.

    Returns:
        What curve.json holds.

    Raises:
        BenchError, PairsError: a setting or a folder that cannot be.
        CheckpointError: the tower cannot be loaded.
        ImportError: scikit-learn or matplotlib is not installed.
    """
    run = read_run(settings.pairs)
    probe = Probe(load_tower(settings.features, device))
    sides = read_sides(settings.pairs, lambda row: flips(row) and row["split"] == "train", probe.tower.features)
    tests = _tests(settings, probe, set(sides.families.tolist()))
    sizes = sorted({n for n in settings.sizes if n <= len(sides)})
    if not sizes:
        raise BenchError(f"{settings.pairs} has {len(sides)} training pairs, which is under {min(settings.sizes)}")
    said = {
        "pairs": run["spec_hash"], "features": settings.features, "sizes": sizes, "seeds": settings.seeds,
        "also": sorted(settings.also),
    }  # fmt: skip
    record = Record(out, said, tuple(said), resume)
    scores, points = _fit_all(probe, sides, tests, sizes, settings.seeds, record, progress)
    judge, about = _guard(probe, sides, run)
    results = {
        "features": settings.features,
        "learner": probe.about,
        "data": {name: run.get(name) for name in ("run_id", "spec_hash", "policy")} | {"train_pairs": len(sides)},
        "arms": MEANING,
        "sizes": sizes,
        "left_out": sorted(set(settings.sizes) - set(sizes)),
        "seeds": list(range(settings.seeds)),
        "tests": {name: summary(scores[name], test) for name, test in tests.items()},
        "real_or_edited": _control(settings, probe),
        "guard": {"name": judge.name, "scores": {name: _score(probe, about, t).metrics for name, t in tests.items()}},
        "points": points,
        **surroundings(),
    }
    _write(out, results, judge)
    return results


def _tests(settings: TrainSettings, probe: Probe, trained: set[str]) -> dict[str, Labelled]:
    see = probe.tower.features
    own = read_sides(settings.pairs, lambda row: flips(row) and row["split"] == "test", see)
    tests = {HELD_OUT: labelled(own)}
    for name, folder in settings.also.items():
        if (folder / SHARDS).is_dir():
            new = read_sides(folder, lambda row: flips(row) and row["family"] not in trained, see)
            tests[name] = labelled(new)
        else:
            tests[name] = read_pictures(folder, see)
    return tests


def _score(probe: Probe, head: Head, test: Labelled) -> Score:
    return score(probe.logits(head, test.x), test)


class _Head(BaseModel):
    """A line of samples.jsonl: how one head did on each test set."""

    seed: int
    n: int
    arm: Arm
    metrics: dict[str, dict[str, float]]
    units: dict[str, list[float]]


def _fit_all(
    probe: Probe,
    sides: Sides,
    tests: dict[str, Labelled],
    sizes: list[int],
    seeds: int,
    record: Record,
    progress: Callable[[int, int], None],
) -> tuple[dict[str, dict[str, dict[int, list[Score]]]], list[dict[str, Any]]]:
    """Test -> arm -> size -> a score a seed; and the same as rows."""
    scores: dict[str, dict[str, dict[int, list[Score]]]] = {
        name: {arm: {n: [] for n in sizes} for arm in ARMS} for name in tests
    }
    points = []
    kept = list(read_samples(record.folder, _Head, [])) if record.done else []
    wanted = list(product(range(seeds), sizes, ARMS))
    for done, (seed, n, arm) in enumerate(wanted):
        if done < len(kept):
            head = kept[done]
            found_in = {name: Score(head.metrics[name], np.array(head.units[name])) for name in tests}
        else:
            chosen = draw(arm, n, sides.families, seed)
            trained = probe.fit(chosen.of(sides.x), chosen.unsafe)
            found_in = {name: _score(probe, trained, test) for name, test in tests.items()}
            metrics = {name: found.metrics for name, found in found_in.items()}
            units = {name: found.units.tolist() for name, found in found_in.items()}
            record.add([_Head(seed=seed, n=n, arm=arm, metrics=metrics, units=units).model_dump()])
        for name, found in found_in.items():
            scores[name][arm][n].append(found)
            points.append({"test": name, "arm": arm, "n": n, "seed": seed, **found.metrics})
        progress(done + 1, len(wanted))
    return scores, points


def _guard(probe: Probe, sides: Sides, run: dict[str, Any]) -> tuple[GuardJudge, Head]:
    every = labelled(sides)
    head = probe.fit(every.x, every.unsafe)
    about = {"policy": run["policy"], "data": run["spec_hash"], "pairs": len(sides), "learner": probe.about}
    return GuardJudge(probe.tower, head, about), head


def _control(settings: TrainSettings, probe: Probe) -> dict[str, Any]:
    found = {}
    for folder in settings.nulls:
        nulls = read_sides(folder, lambda row: row["kind"] == "null_edit", probe.tower.features)
        found[folder.name] = asdict(real_or_edited(probe, nulls))
    return found


def _write(out: Path, results: dict[str, Any], judge: GuardJudge) -> None:
    out.mkdir(parents=True, exist_ok=True)
    judge.save_pretrained(out / "guard")
    plot(results, out / "curve.png")
    write_text(out / "table.md", table(results))
    write_json(out / "curve.json", results)
