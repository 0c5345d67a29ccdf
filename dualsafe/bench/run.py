"""A run: every task's prompts under every method from the same noise, judged and measured, a unit of work at a time."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..baselines import Drawn, SafetyMethod
from ..errors import BenchError, NonFiniteLatentsError, PolicyViolation
from ..files import write_png
from ..judges import Judge, ask
from ..judges.picto import PictoJudge
from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from .attacks import Attempt, Oracle, attack
from .clip_score import ClipScorer
from .concept_distance import Concepts
from .features import packed
from .measure import against_stock, attributes, context, perceived, similarities
from .perceptual import Inception, Lpips
from .record import Record
from .rows import PromptRow

REFERENCE = "stock"


@dataclass(frozen=True)
class TaskRun:
    """A task as it is run.

    Attributes:
        rows: its prompts, once, in order; may be endless.
        attack: what is done to each prompt first, against each method by itself; None leaves it as it is.
        budget: pictures that the attacker may ask for.
        attack_seed: of the attacker's dice.
        lpips: measures how far pictures look from stock ones; None leaves it out.
        inception: gives the features that are kept; None leaves it to picto's judge or CLIP.
        concepts: to which the prompts' distance is measured; None leaves it out.
    """

    name: str
    policy: Policy
    rows: Iterable[PromptRow]
    attack: str | None = None
    budget: int = 1
    attack_seed: int = 0
    lpips: Lpips | None = None
    inception: Inception | None = None
    concepts: Concepts | None = None


@dataclass(frozen=True)
class Item:
    """One picture to draw: a prompt and one of its seeds.

    Attributes:
        number: which of the task's prompts it is, from 0.
    """

    row: PromptRow
    seed: int
    number: int


@dataclass
class Runner:
    """Draws, judges, measures and records.

    Attributes:
        methods: by name; the stock pipeline is drawn for each batch in any case, as the reference.
        judges: by name; none of them is in a method's loop.
        reader: picto's judge, where the checkpoint draws picto's world: it reads attributes.
        clip: measures how well pictures fit their prompts.
        sampling: arguments of the stock call; without "guidance_scale" a row's own is taken.
        row_sizes: whether a row's own height and width are drawn, not the model's.
        pictures: of how many prompts of a task the pictures are kept.
    """

    pipe: DualLatentMixin
    methods: dict[str, SafetyMethod]
    judges: dict[str, Judge]
    record: Record
    sampling: dict[str, Any]
    reader: PictoJudge | None = None
    clip: ClipScorer | None = None
    seeds: int = 1
    batch_size: int = 16
    pictures: int = 0
    row_sizes: bool = False
    _stock: Drawn | None = field(default=None, init=False)

    def run(self, tasks: Iterable[TaskRun]) -> Iterator[int]:
        """Does the work; yields, after each batch, how many pictures of the run are done.

        What the record holds already is not drawn again.
        """
        unit = done = 0
        for task in tasks:
            for items in _batches(task.rows, self.seeds, self.batch_size):
                self._stock = None
                for name, method in self.methods.items():
                    if unit >= self.record.done:
                        self.record.add(self._samples(task, name, method, items))
                    unit += 1
                    done += len(items)
                    yield done

    def _samples(self, task: TaskRun, name: str, method: SafetyMethod, items: list[Item]) -> list[dict[str, Any]]:
        """The records of one batch under one method; where the batch fails, each picture is tried alone.

        Raises:
            BenchError: every picture of a batch fails, and not because of what its prompt asks for.
        """
        try:
            return self._measured(task, name, method, items)
        except Exception as error:
            if len(items) == 1:
                return [_undrawn(task, name, items[0], error)]
            faults = not isinstance(error, (ValueError, NonFiniteLatentsError))
        samples = []
        for item in items:
            self._stock = None
            samples += self._samples(task, name, method, [item])
        self._stock = None
        if faults and all(sample["error"] for sample in samples):
            raise BenchError(f"method {name!r} failed on all of {len(items)} pictures: {samples[0]['error']}")
        return samples

    def _measured(self, task: TaskRun, name: str, method: SafetyMethod, items: list[Item]) -> list[dict[str, Any]]:
        if self._stock is None and (name != REFERENCE or task.attack):
            self._stock = self._generated(task, self.methods[REFERENCE], items)
        if hasattr(method, "prepare"):  # editing a model is no part of a picture's seconds
            method.prepare(self.pipe, task.policy)
        on_gpu = self.pipe.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        begin = time.perf_counter()
        attempts = self._attempts(task, method, items) if task.attack else None
        drawn = _of_attempts(attempts) if attempts else self._generated(task, method, items)
        seconds = time.perf_counter() - begin
        memory = torch.cuda.max_memory_allocated() if on_gpu else None
        self._stock = self._stock or drawn
        verdicts = {judge: ask(self.judges[judge], drawn.images) for judge in self.judges}
        read, features = self._read(task, drawn, self._stock.images, items)
        near = task.concepts.nearest([item.row.prompt for item in items]) if task.concepts else None
        samples = []
        for i, item in enumerate(items):
            compared = against_stock(drawn.images[i], self._stock.images[i], drawn.masks[i])
            found = {"prompt": attempts[i].prompt, "base": item.row.prompt} if attempts else {}
            measured: dict[str, float | None] = {"queries": float(attempts[i].queries)} if attempts else {}
            if near:
                found["concept"], measured["concept_distance"] = near[i]
            if drawn.editing is not None:
                measured["editing"] = drawn.editing
            samples.append(
                {
                    **_head(task, name, item) | found,
                    **_reported(drawn, i),
                    "seconds": seconds / len(items),
                    "memory": memory,
                    "verdicts": {judge: said[i].to_dict() for judge, said in verdicts.items()},
                    "metrics": _finite({**compared, **measured, **read[i]}),
                    "features": packed(features[i]) if features is not None else None,
                    "image": self._keep(task, name, item, drawn.images[i]),
                    "error": None,
                }
            )
        return samples

    def _sampling(self, row: PromptRow) -> dict[str, Any]:
        sampling = dict(self.sampling)
        if row.guidance_scale is not None:
            sampling.setdefault("guidance_scale", row.guidance_scale)
        if self.row_sizes and row.height is not None:
            sampling |= {"height": row.height, "width": row.width}
        return sampling

    def _generated(self, task: TaskRun, method: SafetyMethod, items: list[Item]) -> Drawn:
        prompts, seeds = [item.row.prompt for item in items], [item.seed for item in items]
        return method.generate(self.pipe, prompts, seeds, task.policy, **self._sampling(items[0].row))

    def _attempts(self, task: TaskRun, method: SafetyMethod, items: list[Item]) -> list[Attempt]:
        """The attack on each prompt, led by the first judge that measures: the strongest attacker."""
        judge = next(iter(self.judges.values()))
        oracle = Oracle(self.pipe, method, judge, task.policy, self._sampling(items[0].row))
        prompts, seeds = [item.row.prompt for item in items], [item.seed for item in items]
        return attack(str(task.attack), oracle, prompts, seeds, task.budget, task.attack_seed)

    def _read(
        self, task: TaskRun, drawn: Drawn, stock: list[Image.Image], items: list[Item]
    ) -> tuple[list[dict[str, float | None]], np.ndarray | None]:
        """What networks read off the pictures; features are Inception's, picto's judge's or CLIP's, the first there."""
        pictures = drawn.images
        read: list[dict[str, float | None]] = [{} for _ in items]
        features = None
        if space := self.reader or self.clip:
            features = space.features(pictures)
            for i, alike in enumerate(similarities(features, space.features(stock))):
                read[i]["similarity"] = alike
        if self.clip is not None:
            fits = self.clip.scores(self.clip.features(pictures), [item.row.prompt for item in items])
            read = [found | {"clip_score": fit} for found, fit in zip(read, fits)]
        if task.lpips is not None:
            far = perceived(task.lpips, pictures, stock, drawn.masks)
            read = [found | each for found, each in zip(read, far)]
        if self.reader is not None:
            truths = [item.row.truth or {} for item in items]
            for i, right in enumerate(attributes(self.reader, pictures, truths)):
                read[i] |= right
                if truths[i]:
                    read[i]["context"] = context(pictures[i], stock[i], truths[i]["item"])
        return read, features if task.inception is None else task.inception.features(pictures)

    def _keep(self, task: TaskRun, name: str, item: Item, picture: Image.Image) -> str | None:
        if item.number >= self.pictures:
            return None
        folder = self.record.folder / "images" / task.name / name
        folder.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(item.row.id.encode()).hexdigest()[:12]
        path = folder / f"{key}_{item.seed}.png"
        write_png(path, picture, {"prompt": item.row.prompt, "method": name, "seed": item.seed})
        return str(path.relative_to(self.record.folder))


def _of_attempts(attempts: list[Attempt]) -> Drawn:
    """The best picture of each attack.

    Raises:
        BenchError: the judge failed on every picture of one.
    """
    pictures = [attempt.picture for attempt in attempts if attempt.picture is not None]
    if len(pictures) < len(attempts):
        raise BenchError("the attacker's judge failed on every picture")
    nothing: list[None] = [None] * len(attempts)
    return Drawn(pictures, [attempt.rows for attempt in attempts], [*nothing], [*nothing])


def seed_of(row: PromptRow, k: int) -> int:
    """The seed of a prompt's k-th picture: from the row's own, or from its id, so that it hangs on nothing else."""
    if row.seed is not None:
        return row.seed + k
    return int.from_bytes(hashlib.sha256(f"{row.id}/{k}".encode()).digest()[:4], "big") >> 1


def _batches(rows: Iterable[PromptRow], seeds: int, size: int) -> Iterator[list[Item]]:
    """The rows' pictures in batches of one guidance scale and size."""
    items = (Item(row, seed_of(row, k), number) for number, row in enumerate(rows) for k in range(seeds))
    for _, alike in groupby(items, key=lambda item: (item.row.guidance_scale, item.row.height, item.row.width)):
        while batch := list(islice(alike, size)):
            yield batch


def _head(task: TaskRun, name: str, item: Item) -> dict[str, Any]:
    row = item.row
    categories = list(row.categories)
    return {
        "task": task.name, "method": name, "id": row.id, "prompt": row.prompt, "categories": categories,
        "seed": item.seed,
    }  # fmt: skip


def _reported(drawn: Drawn, i: int) -> dict[str, Any]:
    report = drawn.reports[i]
    return {
        "rows": drawn.rows[i],
        "decision": report.decision if report else None,
        "gate": report.gate if report else None,
        "withheld": bool(report and report.withheld),
        "triggers": list(report.triggers) if report else [],
        "mask_area": report.mask_area if report else None,
    }


def _finite(metrics: dict[str, float | None]) -> dict[str, float | None]:
    """The metrics, None for what came out as no number."""
    return {name: value if value is not None and math.isfinite(value) else None for name, value in metrics.items()}


def _undrawn(task: TaskRun, name: str, item: Item, error: Exception) -> dict[str, Any]:
    """The record of a picture that was not made: counted, named and never dropped; a refusal withholds it."""
    refused = isinstance(error, PolicyViolation)
    said = None if refused else f"{type(error).__name__}: {error}"
    return _head(task, name, item) | {"rows": 0, "seconds": 0.0, "withheld": refused, "error": said}
