"""Draws both sides of a pair from one prompt and one noise, by a dual pipeline."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ...calibration import calibrated
from ...judges import Judge, name_of
from ...policy import Policy, resolve
from ..pair import Declined, Job, Kind, Made, Scope
from ..route import BENIGN, route
from .batch import FLAGGED, INNOCENT, ONE_SIDED, UNCHANGED, WITHHELD, answered
from .editor import Editor

if TYPE_CHECKING:
    from PIL import Image

    from ...pipelines import DualLatentOutput, SafetyReport
    from ...pipelines.dual import DualLatentMixin


class DualEditor(Editor):
    """Text to pair: the original is the stock picture, the edited side its safe twin.

    Outside the mask both sides have the same pixels, to the bit. What else is in a batch changes a picture by no more
    than the rounding of larger matrix products, under one grey level on a CPU. For null edits the safe branch is told
    the job's edited prompt, as benign as the prompt itself.

    Args:
        pipe: a text-to-image pipeline of `dualsafe.pipelines`.
        policy: says what is unsafe, and what takes its place where a job has no edited prompt.
        steps: denoising steps.
        guidance_scale: None takes the stock pipeline's own.
        guard: a judge that looks at half-made pictures of prompts with innocent words, beside the watch.
        kind: what its pairs are.
        scope: as a dual call's: "words" makes no pair of a prompt with innocent words.
    """

    def __init__(
        self,
        pipe: DualLatentMixin,
        policy: str | os.PathLike | Policy,
        steps: int = 25,
        guidance_scale: float | None = None,
        guard: Judge | None = None,
        kind: Kind = "counterfactual",
        scope: Scope = "all",
    ):
        self._pipe, self._policy, self._guard, self._kind = pipe, resolve(policy), guard, kind
        self.looks = scope == "all"
        scale = pipe.sampling_defaults()["guidance_scale"] if guidance_scale is None else guidance_scale
        self._options: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": scale}
        self.revision = revision_of(pipe)
        self.name = named("dual", guard, steps=steps, guidance_scale=scale)

    def make(self, jobs: list[Job]) -> list[Made | Declined]:
        """One answer a job, in order."""
        return answered(jobs, self._ready, self._draw)

    def _ready(self, job: Job) -> Any:
        if self._kind == "null_edit" and job.edited_prompt is None:
            return ONE_SIDED
        return route(job, self._kind, self._policy, self.looks) or job

    def _draw(self, batch: list[Any]) -> list[Made | Declined]:
        output = self._call(batch)
        reasons = [_declined(output, i) for i in range(len(batch))]
        if output.masks is None:
            return [reason or UNCHANGED for reason in reasons]
        both = self._sides(output, batch)
        return [reason or _made(report, *each) for reason, report, each in zip(reasons, output.safety, both)]

    def _call(self, batch: list[Any]) -> Any:
        return self._called(batch, composite=True, return_pair=True)

    def _sides(self, output: Any, batch: list[Any]) -> Iterable[tuple[Image.Image, Image.Image, Image.Image]]:
        """Original, edited side and mask of each sample."""
        return zip(output.unsafe_images or (), output.images, output.masks)

    def _called(self, jobs: list[Job], composite: bool = False, **more: Any) -> Any:
        """The `DualLatentOutput` of one call over jobs, each from its own seed; without a guard the watch looks."""
        settings = calibrated(str(self._pipe.config.get("_name_or_path")))
        return self._pipe(
            prompt=[job.prompt for job in jobs],
            safe_prompt=[job.edited_prompt for job in jobs],
            safety_level="max",
            policy=self._policy,
            scope="all" if self.looks else "words",
            preview=self._guard,
            settings=replace(settings, composite=composite),
            generator=generators(jobs),
            **self._options,
            **more,
        )


def generators(jobs: list[Job]) -> list[torch.Generator]:
    """The noise of each job: drawn on the CPU, so that it is the same on every device."""
    return [torch.Generator("cpu").manual_seed(job.seed) for job in jobs]


def _declined(output: DualLatentOutput, i: int) -> Declined | None:
    """Why there is no pair in a sample of a dual call."""
    report = output.safety[i]
    if report.decision != "dual":
        return INNOCENT if report.watched is not None or report.score is not None else Declined(BENIGN)
    if report.withheld:
        return WITHHELD
    if output.nsfw_content_detected and output.nsfw_content_detected[i]:
        return FLAGGED
    return None if report.mask_area else UNCHANGED


def revision_of(pipe: Any) -> str:
    """The hub's commit that a pipeline's weights are of; empty where they lie in a folder of one's own."""
    found = re.search(r"snapshots[/\\]([0-9a-f]{40})\b", str(pipe.vae.config.get("_name_or_path")))
    return found[1] if found else ""


def named(kind: str, guard: Judge | None = None, **settings: float) -> str:
    """What an editor's pairs are filed under: "dual(steps=25, guidance_scale=5, guard=picto-guard)"."""
    parts = [f"{name}={value:g}" for name, value in settings.items()]
    return f"{kind}({', '.join(parts + ([f'guard={name_of(guard)}'] if guard else []))})"


def _made(report: SafetyReport, original: Image.Image, edited: Image.Image, mask: Image.Image) -> Made:
    """The pair of a sample of a dual call."""
    return Made(
        original,
        edited,
        mask,
        report.safe_prompt,
        report.categories,
        report.triggers,
        report.denoiser_rows,
        report.mask_area,
        gate=report.gate,
    )
