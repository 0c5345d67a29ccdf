"""Stage "transformer": a denoiser of Stable Diffusion 3's kind, with flow matching, on the same latents and texts."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from transformers import CLIPModel, CLIPTextModelWithProjection, CLIPTokenizer

from ..world import SIZE
from .batches import BATCH, FACTOR, Batches, WithReader
from .clip import tokens
from .data import Dataset
from .loop import Run, train

HEADS, HEAD_SIZE, LAYERS, TEXT = 5, 32, 7, 128
READ_LAYER = 4
READER_WEIGHT = 0.05
NOISE_LOGIT, NOISE_SPREAD = 0.8, 1.2
"""Logit-normal noise levels (arXiv 2403.03206, section 3.1), towards the noisy end, where what is drawn is settled."""
MAX_EMPTY_TOKENS = 512
"""The stock pipeline appends as many zero tokens as its `max_sequence_length` says, where there is no T5."""


def build() -> SD3Transformer2DModel:
    return SD3Transformer2DModel(
        sample_size=SIZE // FACTOR,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=LAYERS,
        attention_head_dim=HEAD_SIZE,
        num_attention_heads=HEADS,
        joint_attention_dim=2 * TEXT,
        caption_projection_dim=HEADS * HEAD_SIZE,
        pooled_projection_dim=2 * TEXT,
        pos_embed_max_size=SIZE // FACTOR // 2,
        qk_norm="rms_norm",
    )


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(shift=3.0)


def text_encoder(clip: CLIPModel) -> CLIPTextModelWithProjection:
    """CLIP's text tower with its projection, as the pipeline's first and second text encoder."""
    model = CLIPTextModelWithProjection(clip.config.text_config)
    names = model.state_dict()
    model.load_state_dict({name: value for name, value in clip.state_dict().items() if name in names})
    return model.eval()


@torch.no_grad()
def encode(
    encoder: CLIPTextModelWithProjection, tokenizer: CLIPTokenizer, texts: list[str], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (n, 78, 256), the last of them empty, and pooled texts (n, 256), as the pipeline gives them where both
    its CLIP encoders are `encoder`."""
    out = encoder(tokens(tokenizer, texts, device), output_hidden_states=True)
    hidden = torch.cat([out.hidden_states[-2]] * 2, dim=-1)
    return F.pad(hidden, (0, 0, 0, 1)), torch.cat([out.text_embeds] * 2, dim=-1)


class ManyEmptyTokens(TorchFunctionMode):
    """Counts the last token of the text `count` times: empty tokens are alike, so one of that weight stands for all."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._weight = math.log(count)

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            kwargs["attn_mask"] = torch.zeros(args[1].shape[2], device=args[1].device)[None]
            kwargs["attn_mask"][0, -1] = self._weight
        return func(*args, **kwargs)


def on_its_grid(output: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """A block's tokens of the picture as (n, width, 8, 8)."""
    return output[1].transpose(1, 2).unflatten(2, (SIZE // FACTOR // 2, -1))


def fit(
    run: Run,
    data: Dataset,
    latents: torch.Tensor,
    tokenizer: CLIPTokenizer,
    encoder: CLIPTextModelWithProjection,
    sample: Callable[[torch.nn.Module, Path], None] | None = None,
    start: SD3Transformer2DModel | None = None,
) -> SD3Transformer2DModel:
    """Trains on scaled `latents` (N, 4, 16, 16), velocity prediction; from `start` where there is no checkpoint."""
    transformer = start or build()
    block = transformer.transformer_blocks[READ_LAYER]
    model = WithReader(transformer, block, HEADS * HEAD_SIZE, on_its_grid).to(run.device)
    batches = Batches(run, data, latents)

    def step_loss(step: int) -> torch.Tensor:
        batch = batches.next()
        text = encode(encoder, tokenizer, batch.texts, run.device)
        sigma = torch.sigmoid(NOISE_LOGIT + NOISE_SPREAD * torch.randn(BATCH, generator=batches.generator))
        count = int(MAX_EMPTY_TOKENS ** torch.rand(1, generator=batches.generator).item())
        at = sigma.to(run.device).view(-1, 1, 1, 1)
        noisy = (1 - at) * batch.latents + at * batch.noise
        with ManyEmptyTokens(count):
            predicted, misread = model(batch, noisy, *text, 1000 * sigma.to(run.device))
        error = batch.weights * (predicted.float() - (batch.noise - batch.latents)).square()
        return error.mean() + READER_WEIGHT * misread

    def sample_transformer(_: torch.nn.Module, path: Path) -> None:
        if sample:
            sample(model.denoiser, path)

    train(run, "transformer", model, step_loss, rate=1e-3, ema_decay=0.999, sample=sample_transformer)
    return model.dropped()
