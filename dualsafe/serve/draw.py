"""The pipeline as the service uses it: orders of one kind in, drawn pictures out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from ..judges import Judge, Verdict, ask, name_of
from ..policy import Policy
from .metrics import Metrics

if TYPE_CHECKING:
    from ..pipelines import DualLatentPipeline, SafetyReport


@dataclass(frozen=True)
class Kind:
    """What pictures must have in common to be drawn in one call."""

    width: int
    height: int
    steps: int
    guidance_scale: float
    policy: str
    return_pair: bool


@dataclass(frozen=True)
class Order:
    """One picture that is asked for."""

    prompt: str
    level: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    """One picture that came of it.

    Attributes:
        image: None where it is withheld.
        unsafe: the original, if the pair was asked for and the picture isn't withheld.
    """

    image: Image.Image | None
    unsafe: Image.Image | None
    report: SafetyReport


class JudgeFailed(RuntimeError):
    """A judge in the loop had no verdict on a picture."""


class _Watched:
    """A judge whose failures are counted; `ask` takes their pictures for unsafe."""

    def __init__(self, judge: Judge):
        self._judge, self.name, self.failures = judge, name_of(judge), 0

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        verdicts = ask(self._judge, images)
        self.failures += sum(verdict.error is not None for verdict in verdicts)
        return verdicts


class Renderer:
    """Draws for the service; used by one thread at a time.

    Args:
        pipe: the pipeline; nothing else may call it meanwhile.
        policies: name -> policy.
        metrics: told of every call.
        preview, verify: judges in the loop, if any.
    """

    def __init__(
        self,
        pipe: DualLatentPipeline,
        policies: dict[str, Policy],
        metrics: Metrics,
        preview: Judge | None = None,
        verify: Judge | None = None,
    ):
        pipe.set_progress_bar_config(disable=True)
        self._pipe, self._policies, self._metrics = pipe, policies, metrics
        judges = {"preview": preview, "verify": verify}
        self._judges = {name: _Watched(judge) for name, judge in judges.items() if judge is not None}

    def sizes(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """`wanted`, WIDTHxHEIGHT, once a step has been drawn at each; the model's own size where there is none.

        Raises:
            ValueError: a size that the pipeline refuses.
        """
        sizes = []
        for size in wanted or (None,):
            width, height = map(int, size.split("x")) if size else (None, None)
            output: Any = self._pipe(prompt="", safety_level=0, width=width, height=height, num_inference_steps=1)
            sizes.append("{}x{}".format(*output.images[0].size))
        return tuple(sizes)

    def draw(self, kind: Kind, orders: list[Order]) -> list[Outcome]:
        """One call of the pipeline: a picture an order.

        Raises:
            ValueError: what the pipeline refuses.
            NonFiniteLatentsError: NaN or infinite latents.
            JudgeFailed: one of the judges had no verdict on one of the pictures.
        """
        begin, failures = time.perf_counter(), self._failures()
        output = self._pipe(
            prompt=[order.prompt for order in orders],
            safety_level=[order.level for order in orders],
            generator=[torch.Generator("cpu").manual_seed(order.seed) for order in orders],
            height=kind.height,
            width=kind.width,
            num_inference_steps=kind.steps,
            guidance_scale=kind.guidance_scale,
            policy=self._policies[kind.policy],
            return_pair=kind.return_pair,
            **self._judges,  # type: ignore[arg-type]
        )
        failed = self._failures() - failures
        drawn = [_drawn(output, i) for i in range(len(orders))]
        outcomes = ["withheld" if each.image is None else each.report.decision for each in drawn]
        rows = sum(each.report.denoiser_rows for each in drawn)
        self._metrics.drew(outcomes, rows, time.perf_counter() - begin, failed)
        if failed:
            raise JudgeFailed("a judge of pictures failed; no picture is returned")
        return drawn

    def _failures(self) -> int:
        return sum(judge.failures for judge in self._judges.values())


def _drawn(output: Any, i: int) -> Outcome:
    report = output.safety[i]
    flagged = output.nsfw_content_detected is not None and output.nsfw_content_detected[i]
    if report.withheld or flagged:
        return Outcome(None, None, report)
    unsafe = output.unsafe_images[i] if output.unsafe_images is not None else None
    return Outcome(output.images[i], unsafe, report)
