"""What a dual call needs to know of a family of stock pipelines, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class CallPattern:
    """How a family calls its denoiser, encodes its prompts and decodes its latents.

    Attributes:
        family: its name. Checkpoints of a family fit all of its pipelines.
        denoiser: the component that denoises.
        timestep_scale: factor from the timestep that the denoiser is told to the scheduler's.
        embeds: call arguments that the stock `encode_prompt` returns, in its order; None for what is no argument.
        negative_apart: whether a negative prompt is encoded, and evaluated at every step, in a call of its own, under
            `scale`; else it is a group of the batch.
        scale: call argument that is the scale of classifier-free guidance; None where there is no such guidance.
        no_guidance: value of `scale` up to which there is none; it counts from there.
        fixed_scale: whether the loop keeps to the scale of the call, whatever a callback makes of the pipeline's.
        after_guidance: whether predictions are blended where the scheduler's step is given them, as the loop has guided
            them, and not in each guidance group: where guidance is not linear, or the family's own.
        packed: whether the loop's latents are tokens of 2x2 patches, (N, patches, 4 C).
        texts: "even" where all texts have one length; "padded" to the longest of a batch, or "listed", one by one.
        around: gives the text, from the pipeline and a call's arguments, inside which a prompt is encoded and which
            takes up its tokens; None where a prompt is encoded alone.
        windows: whether prompts of several of the text encoder's windows are their embeddings in a row.
        decoding: what the stock pipeline does about `vae.decode`: "generator" hands it on, "upcast" decodes in float32
            where the autoencoder overflows in half precision and says so, "mean" and "shift" undo the latents', "frame"
            is of a video's autoencoder, "batch_norm" is undone by its statistics.
        finished: whether the loop's latents are returned as they are decoded, with nothing left to undo.
        side: height and width of pictures in pixels, where the pipeline has no attribute that says it.
        single_files: what diffusers calls checkpoints in one file that this pipeline loads.
        half: the dtype to use on a GPU.
        refused: arguments of the stock call that the method cannot honour, with the reason.
    """

    family: str
    denoiser: str = "unet"
    timestep_scale: float = 1.0
    embeds: tuple[str | None, ...] = ("prompt_embeds", "negative_prompt_embeds")
    negative_apart: bool = False
    scale: str | None = "guidance_scale"
    no_guidance: float = 1.0
    fixed_scale: bool = False
    after_guidance: bool = False
    packed: bool = False
    texts: str = "even"
    around: Callable[[Any, dict[str, Any]], str] | None = None
    windows: bool = True
    decoding: frozenset[str] = frozenset({"generator"})
    finished: bool = False
    side: int | None = None
    single_files: tuple[str, ...] = ()
    half: torch.dtype = torch.float16
    refused: dict[str, str] = field(default_factory=dict)
