"""What a dual call returns, the same for every family."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from diffusers.utils import BaseOutput
from PIL import Image

from ..conditions.decide import Gate

Images = list[Image.Image] | np.ndarray | torch.Tensor


@dataclass(frozen=True)
class SafetyReport:
    """How one picture came about.

    Attributes:
        decision: "off" (level 0), "benign" (nothing found, the stock picture) or "dual" (two trajectories).
        gate: what decided: "level" (it is 0), "given" (the caller's safe condition), "prompt" (the policy on the text),
            "latent" (both branches agreed, so that it is the stock picture), "watch" (the model's own predictions),
            "preview" or "verify" (a judge on the picture, half made or finished).
        watched: the watch's score in [-1, 1], if it looked: how much better one of the policy's concepts explains the
            picture than any harmless text; higher is more unsafe.
        score: the last judge's, if one was asked and says; higher is more unsafe.
        seen: what judges saw, in the policy's words.
        tries: how often the picture was drawn anew: as the watch or a judge found something, or as it still was its
            original.
        withheld: whether the picture was still flagged at the end; a blank one is returned in its place.
        level: safety level in [0, 1].
        triggers: what in the prompt called for the safe branch, as written there.
        categories: the policy categories those belong to.
        unread: those of them that stand where no text encoder reads any more, so that the model never read them.
        policy: id and hash of the policy that decided.
        safe_prompt: text of the safe branch; None where there is none, or where it was given as embeddings.
        tau, original_interval: the settings that say when each branch was computed, as progress in [0, 1].
        mask_area: share of the latent that was allowed to change, in [0, 1].
        denoiser_rows: batch rows of the denoiser spent on this picture (both pictures of a pair together), its NFE.
        seed: the generator's initial seed, if one was given.
    """

    decision: Literal["off", "benign", "dual"]
    level: float
    gate: Gate = "prompt"
    watched: float | None = None
    score: float | None = None
    seen: tuple[str, ...] = ()
    tries: int = 0
    withheld: bool = False
    triggers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    policy: str = ""
    safe_prompt: str | None = None
    tau: float | None = None
    original_interval: float | None = None
    mask_area: float = 0.0
    denoiser_rows: int = 0
    seed: int | None = None

    @property
    def nfe(self) -> int:
        """Function evaluations (NFE) of the denoiser for this picture: rows of batches, so guidance takes two a step.

        The same number as `denoiser_rows`.
        """
        return self.denoiser_rows

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class DualLatentOutput(BaseOutput):
    """Pictures of a dual call, one entry a sample, in the prompts' order.

    Attributes:
        images: the safe pictures, in the asked output type.
        nsfw_content_detected: verdicts of the checkpoint's own safety checker on `images`, if it has one.
        unsafe_images: the original pictures, only with `return_pair=True`. PIL pictures are marked
            `info["dualsafe"] == "unsafe original"`. The checkpoint's own safety checker is not run on them.
        masks: where each safe picture may differ from its original, in the output type, at the pictures' size.
        safety: a report a picture.
    """

    images: Images
    nsfw_content_detected: list[bool] | None = None
    unsafe_images: Images | None = None
    masks: Images | None = None
    safety: list[SafetyReport] = field(default_factory=list)

    def to_tuple(self) -> tuple:
        """All five fields in order, None where there is nothing: the first two are the stock pipeline's tuple."""
        return (self.images, self.nsfw_content_detected, self.unsafe_images, self.masks, self.safety)
