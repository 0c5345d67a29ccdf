"""A run over thousands of prompts holds no more in memory than one over hundreds."""

from __future__ import annotations

import gc
import sys

from PIL import Image

from dualsafe.baselines import Drawn
from dualsafe.bench.record import SAMPLES, Record
from dualsafe.bench.rows import PromptRow
from dualsafe.bench.run import Runner, TaskRun
from dualsafe.judges import Verdict
from dualsafe.policy import resolve

BATCH, EARLY, PROMPTS = 50, 250, 2500


class Plain:
    """A safety method that draws every prompt as one grey square."""

    def __init__(self, name: str, shade: int):
        self.name, self.shade = name, shade

    def generate(self, pipe, prompts, seeds, policy, **sampling) -> Drawn:
        nothing = [None] * len(prompts)
        pictures = [Image.new("RGB", (8, 8), (self.shade,) * 3) for _ in prompts]
        return Drawn(pictures, [2] * len(prompts), [*nothing], [*nothing])


class Calm:
    """A judge to whom everything is safe."""

    name = "calm"

    def verdicts(self, images) -> list[Verdict]:
        return [Verdict(False, 0.0) for _ in images]


def test_memory_does_not_grow_with_the_number_of_prompts(tiny_dual, tmp_path):
    record = Record(tmp_path, {}, (), resume=False)
    methods = {"stock": Plain("stock", 90), "plain": Plain("plain", 120)}
    runner = Runner(tiny_dual, methods, {"calm": Calm()}, record, {"guidance_scale": 5.0}, batch_size=BATCH)
    rows = (PromptRow(f"row-{i}", f"prompt {i}") for i in range(PROMPTS))
    blocks = {}
    for done in runner.run([TaskRun("many", resolve("picto"), rows)]):
        if done in (2 * EARLY, 2 * PROMPTS):
            gc.collect()
            blocks[done] = sys.getallocatedblocks()  # of Python's own memory: an object kept is one at least
    assert len((tmp_path / SAMPLES).read_bytes().splitlines()) == 2 * PROMPTS
    assert blocks[2 * PROMPTS] - blocks[2 * EARLY] < PROMPTS / 10
