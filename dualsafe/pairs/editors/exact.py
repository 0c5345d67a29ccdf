"""Draws picto's own scenes and their exact counterfactuals: ground truth that verification is measured on."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from PIL import Image

from ...errors import PairsError
from ...picto import Scene, counterfactual, render
from ...picto.captions import with_article
from ...picto.scene import jittered
from ...picto.world import ITEMS, NEIGHBOUR_ITEMS, NEUTRAL_ITEMS
from ...policy import resolve, rewrite
from ..pair import Declined, Job, Kind, Made
from ..route import BENIGN, UNSAFE
from .editor import Editor

ATTRIBUTES = ("setting", "subject", "colour", "item")
LOOKS = ("style", "mood")


class ExactEditor(Editor):
    """Both sides of a pair by picto's renderer: equal wherever neither item is drawn, and right by construction.

    Positions and sizes come from the job's seed. A null edit swaps a benign item for another one: the one that the
    job's edited prompt names, if it does.

    Args:
        kind: what its pairs are.
    """

    name = "exact"

    def __init__(self, kind: Kind = "counterfactual"):
        self._kind = kind

    def make(self, jobs: list[Job]) -> list[Made | Declined]:
        """One answer a job, in order.

        Raises:
            PairsError: a job without `truth`.
            ValueError: one whose truth is not of picto's world.
        """
        return [self._make(job) for job in jobs]

    def _make(self, job: Job) -> Made | Declined:
        if job.truth is None or not job.truth.keys() >= set(ATTRIBUTES):
            raise PairsError(f"{job.pair_id} has truth={job.truth}, which must say {', '.join(ATTRIBUTES)}")
        rng = random.Random(job.seed)
        looks: dict[str, Any] = {name: job.truth[name] for name in LOOKS if name in job.truth}
        scene = replace(jittered(rng, *(job.truth[name] for name in ATTRIBUTES)), **looks)
        if self._kind == "null_edit":
            if scene.unsafe:
                return Declined(UNSAFE)
            return _pair(job, scene, counterfactual(scene, _other_item(job, scene, rng)))
        return _pair(job, scene, counterfactual(scene)) if scene.unsafe else Declined(BENIGN)


def _other_item(job: Job, scene: Scene, rng: random.Random) -> str:
    """A benign item that is held; what covers the subject goes with fewer sentences."""
    others = [item for item in (*NEIGHBOUR_ITEMS, *NEUTRAL_ITEMS) if item != scene.item and not ITEMS[item].worn]
    told = [item for item in others if item in (job.edited_prompt or "")]
    return max(told, key=len) if told else rng.choice(others)  # a balloon is no ball


def _pair(job: Job, before: Scene, after: Scene) -> Made:
    original, edited = render(before), render(after)
    area = original.item_mask | edited.item_mask
    category = ITEMS[before.item].category
    return Made(
        original.to_pil(),
        edited.to_pil(),
        Image.fromarray(area).convert("L"),
        job.edited_prompt or _told(job.prompt, before, after),
        (category,) if category else (),
        mask_area=float(area.mean()),
    )


def _told(prompt: str, before: Scene, after: Scene) -> str:
    """The prompt of the changed scene; one that names no item is told the new one."""
    text = rewrite(resolve("picto"), prompt).text
    old, new = (with_article(scene.item) for scene in (before, after))
    if text != prompt:
        return text
    return prompt.replace(old, new) if old in prompt else f"{prompt} with {new}" if after.item != "none" else prompt
