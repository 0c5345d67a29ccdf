"""What a dual call needs to know of a family of stock pipelines, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

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
        scale: call argument that is the scale of classifier-free guidance.
        fixed_scale: whether the loop keeps to the scale of the call, whatever a callback makes of the pipeline's.
        packed: whether the loop's latents are tokens of 2x2 patches, (N, patches, 4 C).
        tokenizers: for each part of `prompt_embeds`, along the tokens, the component that made its tokens; where a
            checkpoint lacks that, the next one named.
        windows: whether prompts of several of the text encoder's windows are their embeddings in a row.
        decoding: what the stock pipeline does about `vae.decode`: "generator" hands it on, "upcast" decodes in float32
            where the autoencoder overflows in half precision and says so, "mean" and "shift" undo the latents'.
        single_files: what diffusers calls checkpoints in one file that this pipeline loads.
        half: the dtype to use on a GPU.
        refused: arguments of the stock call that the method can't honour, with the reason.
    """

    family: str
    denoiser: str = "unet"
    timestep_scale: float = 1.0
    embeds: tuple[str | None, ...] = ("prompt_embeds", "negative_prompt_embeds")
    negative_apart: bool = False
    scale: str = "guidance_scale"
    fixed_scale: bool = False
    packed: bool = False
    tokenizers: tuple[tuple[str, ...], ...] = (("tokenizer",),)
    windows: bool = True
    decoding: frozenset[str] = frozenset({"generator"})
    single_files: tuple[str, ...] = ()
    half: torch.dtype = torch.float16
    refused: dict[str, str] = field(default_factory=dict)
