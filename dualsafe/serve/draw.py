"""The pipeline as the service uses it: orders of one kind in, drawn pictures out."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from PIL import Image

from ..judges import Judge, Verdict, ask, name_of, own_judge
from ..policy import Policy
from .metrics import Metrics
from .pace import Pace

if TYPE_CHECKING:
    from ..pipelines import DualLatentPipeline, SafetyReport

NEW, IMAGE, INPAINT = "text-to-image", "image-to-image", "inpainting"


@dataclass(frozen=True, eq=False)
class Edit:
    """A picture to start from; equal to no other, so that requests with pictures are drawn apart.

    Attributes:
        image: of the size that is drawn.
        mask: white where it may change; None is everywhere.
        strength: in (0, 1], how much of the noise it gets.
    """

    image: Image.Image
    mask: Image.Image | None
    strength: float


@dataclass(frozen=True)
class Kind:
    """What pictures must have in common to be drawn in one call."""

    width: int
    height: int
    steps: int
    guidance_scale: float
    policy: str
    return_pair: bool
    edit: Edit | None = None

    @property
    def steps_run(self) -> int:
        """Denoising steps that are run."""
        return self.steps if self.edit is None else int(self.steps * self.edit.strength)

    @property
    def task(self) -> str:
        return NEW if self.edit is None else IMAGE if self.edit.mask is None else INPAINT


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
        unsafe: the original, if the pair was asked for and the picture is not withheld.
    """

    image: Image.Image | None
    unsafe: Image.Image | None
    report: SafetyReport


class JudgeFailed(RuntimeError):
    """A judge in the loop had no verdict on a picture."""


class _Counted:
    """A judge whose failures are counted; `ask` takes their pictures for unsafe."""

    def __init__(self, judge: Judge):
        self._judge, self.name, self.failures = judge, name_of(judge), 0
        self.covers = getattr(judge, "covers", None)

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        verdicts = ask(self._judge, images)
        self.failures += sum(verdict.error is not None for verdict in verdicts)
        return verdicts


@dataclass
class Renderer:
    """Draws for the service; used by one thread at a time.

    Args:
        pipe: the pipeline; nothing else may call it meanwhile.
        policies: name -> policy.
        metrics: told of every call.
        preview, verify: judges in the loop, as the pipeline takes them.

    Attributes:
        on_step: called after each denoising step; what it raises ends the call.
        pace: learns from the pictures that are drawn to try the sizes.
    """

    pipe: DualLatentPipeline
    policies: dict[str, Policy]
    metrics: Metrics
    preview: Judge | Literal["auto"] | None = "auto"
    verify: Judge | Literal["auto"] | None = None
    on_step: Callable[[], None] = lambda: None
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        given = {"preview": self.preview, "verify": self.verify}
        judges = {name: own_judge(self.pipe) if isinstance(judge, str) else judge for name, judge in given.items()}
        self._judges = {name: None if judge is None else _Counted(judge) for name, judge in judges.items()}
        self._pipes = {NEW: self.pipe} | _editors(self.pipe)
        for pipe in self._pipes.values():
            pipe.set_progress_bar_config(disable=True)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What the pipeline's family can do."""
        return tuple(self._pipes)

    def sizes(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """`wanted`, WIDTHxHEIGHT, once a step has been drawn at each; the model's own size where there is none.

        Raises:
            ValueError: a size that the pipeline refuses.
        """
        sizes = []
        for size in wanted or (None,):
            width, height = map(int, size.split("x")) if size else (None, None)
            begin = time.perf_counter()
            output: Any = self.pipe(prompt="", safety_level=0, width=width, height=height, num_inference_steps=1)
            self.pace.learn(1, 1, time.perf_counter() - begin)
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
        pipe = self._pipes[kind.task]
        sized = "height" in inspect.signature(pipe.stock_class().__call__).parameters
        output = pipe(
            prompt=[order.prompt for order in orders],
            safety_level=[order.level for order in orders],
            generator=[torch.Generator("cpu").manual_seed(order.seed) for order in orders],
            num_inference_steps=kind.steps,
            guidance_scale=kind.guidance_scale,
            policy=self.policies[kind.policy],
            return_pair=kind.return_pair,
            callback_on_step_end=self._step,
            **_canvas(kind, len(orders), sized),
            **self._judges,
        )
        failed = self._failures() - failures
        drawn = [_drawn(output, i) for i in range(len(orders))]
        outcomes = ["withheld" if each.image is None else each.report.decision for each in drawn]
        rows = sum(each.report.denoiser_rows for each in drawn)
        self.metrics.drew(outcomes, rows, time.perf_counter() - begin, failed)
        if failed:
            raise JudgeFailed("a judge of pictures failed; no picture is returned")
        return drawn

    def _step(self, pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        self.on_step()
        return {}

    def _failures(self) -> int:
        return sum(judge.failures for judge in self._judges.values() if judge is not None)


def _editors(pipe: Any) -> dict[str, Any]:
    """The family's image-to-image and inpainting pipelines on the same components; none where it has none."""
    found = {}
    for family in type(pipe).families:
        takes = inspect.signature(family.stock_class().__call__).parameters
        drawn_over = {"image", "strength"} <= takes.keys() and "control_image" not in takes
        if drawn_over and family.pattern.family == pipe.pattern.family:
            found[INPAINT if "mask_image" in takes else IMAGE] = family.from_pipe(pipe)
    return found


def _canvas(kind: Kind, count: int, sized: bool) -> dict[str, Any]:
    """What `count` pictures are drawn on: noise of a size, or a picture of it; a few pipelines take the picture's."""
    size = {"width": kind.width, "height": kind.height} if sized else {}
    if (edit := kind.edit) is None:
        return size
    picture = size | {"image": [edit.image] * count, "strength": edit.strength}
    return picture if edit.mask is None else picture | {"mask_image": [edit.mask] * count}


def _drawn(output: Any, i: int) -> Outcome:
    report = output.safety[i]
    flagged = output.nsfw_content_detected is not None and output.nsfw_content_detected[i]
    if report.withheld or flagged:
        return Outcome(None, None, report)
    unsafe = output.unsafe_images[i] if output.unsafe_images is not None else None
    return Outcome(output.images[i], unsafe, report)
