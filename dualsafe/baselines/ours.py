"""Our own method at its presets, with and without mask, with the original at every step, with judges in the loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..config import MethodSettings
from ..judges import Judge
from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from .protocol import Drawn
from .stock import draw

VARIANTS: dict[str, MethodSettings] = {
    "": MethodSettings(),
    "-nomask": MethodSettings(mask_floor=None),
    "-full": MethodSettings(original_interval=None),
}
LOOPS: dict[str, tuple[str, ...]] = {"": (), "+preview": ("preview",), "+verify": ("preview", "verify")}


@dataclass(frozen=True)
class Dualsafe:
    """`DualLatentPipeline` and its kin.

    Attributes:
        level: a preset of the dial.
        settings: phases and mask.
        judges: the arguments of the call that get a judge.
        judge: never the one that measures.
    """

    name: str
    level: str
    settings: MethodSettings
    judges: tuple[str, ...] = ()
    judge: Judge | None = None

    def generate(
        self, pipe: DualLatentMixin, prompts: list[str], seeds: list[int], policy: Policy, **sampling: Any
    ) -> Drawn:
        loop = dict.fromkeys(self.judges, self.judge)
        return draw(pipe, prompts, seeds, policy, safety_level=self.level, settings=self.settings, **loop, **sampling)
