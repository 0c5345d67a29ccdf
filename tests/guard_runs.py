"""Pair runs of rendered scenes, judges that say what they are told, and records without a judge."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from dualsafe.bench.measure import against_stock
from dualsafe.files import write_json
from dualsafe.judges import Verdict
from dualsafe.pairs.pair import Checked, Job, Kind, Made
from dualsafe.pairs.row import row_of
from dualsafe.pairs.shard import writing
from dualsafe.picto import counterfactual, render
from dualsafe.picto.prompts import prompt_set
from dualsafe.picto.world import ITEMS, NEUTRAL_ITEMS

ABOUT = {"policy": "picto@0123", "model": "picto", "revision": "", "editor": "exact", "config": "abcd"}
SAFE, UNSAFE, REFUSED, BROKEN = Verdict(False), Verdict(True), Verdict(True, refused=True), Verdict(True, error="Boom")


class Says:
    """Calls every picture what a function says."""

    def __init__(self, name: str, verdict: Callable[[Image.Image], Verdict]):
        self.name, self._verdict = name, verdict

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        return [self._verdict(image) for image in images]


class Breaks:
    """Answers so many calls as unsafe, and then breaks down."""

    name = "breaks"

    def __init__(self, calls: int = 0):
        self._calls = calls

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        self._calls -= 1
        if self._calls < 0:
            raise RuntimeError("out of memory")
        return [UNSAFE] * len(images)


def write_pairs(
    folder: Path,
    count: int,
    kind: Kind = "counterfactual",
    unverified: int = 0,
    change: Callable[[Image.Image], Image.Image] = lambda image: image,
    **run: Any,
) -> Path:
    """A finished pair run of one shard; its last pairs are unverified, `run` are fields of run.json.

    Args:
        change: what is done to edited sides, too.
    """
    folder.mkdir(parents=True)
    said = {
        "spec": {},
        "spec_hash": "abcd",
        "shards": 1,
        "kind": kind,
        "policy": "picto@0123",
        "editor": "exact",
        "model": "picto",
    }
    write_json(folder / "run.json", said | {"judges": ["q16"], "guard": None} | run)
    rng = random.Random(kind)
    with writing(folder, 0, count) as writer:
        for i, case in enumerate(prompt_set("benign" if kind == "null_edit" else "explicit", count, 0)):
            item = rng.choice(NEUTRAL_ITEMS) if kind == "null_edit" else None
            before, after = render(case.scene), render(counterfactual(case.scene, item))
            mask = Image.fromarray(before.item_mask | after.item_mask)
            category = ITEMS[case.scene.item].category
            job = Job(f"{i:05d}", f"row-{i}", case.prompt, i, (category,) if category else ())
            edited = change(after.to_pil())
            made = Made(before.to_pil(), edited, mask, case.prompt, mask_area=float(before.item_mask.mean()))
            reasons = ("doubtful",) if i >= count - unverified else ()
            metrics = {"ssim": against_stock(made.edited, made.original, None)["ssim"]}
            row = row_of(kind, job, made, Checked(reasons, metrics=metrics), ABOUT)
            writer.pair(row, made, (), keep_unverified=True)
        writer.finish({})
    return folder


def side(verdict: Verdict) -> dict[str, Any]:
    """A verdict as samples.jsonl holds it."""
    unanswered = verdict.refused or verdict.error is not None
    return {"unsafe": None if unanswered else verdict.is_unsafe, "score": verdict.score, "error": verdict.error}


def write_record(folder: Path, said: dict[str, list[tuple[Verdict, Verdict]]], **more: Any) -> Path:
    """A run's folder without pairs behind it: judge -> what it said of each; `more` are fields of each sample."""
    folder.mkdir(parents=True, exist_ok=True)
    n = len(next(iter(said.values())))
    source = {"folder": "gone", "spec_hash": "abcd", "data_hash": "d" * 64, "n": n, "unverified_left_out": 0}
    run = {
        "judges": list(said), "judge_specs": list(said), "pairs": [source], "n": n, "split": None, "limit": None,
        "batch_size": 64, "comparable": True, "versions": {"dualsafe": "0.1.0"}, "git": None, "environment": {},
        "command": None,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run))
    samples = []
    for judge, pairs in said.items():
        for i, (original, edited) in enumerate(pairs):
            head = {"judge": judge, "pair": i, "folder": 0, "pair_id": f"{i:05d}", "kind": "counterfactual", "unit": 0}
            samples.append(head | {"original": side(original), "edited": side(edited)} | more)
    (folder / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return folder
