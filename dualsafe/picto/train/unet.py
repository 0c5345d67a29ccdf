"""Stage "unet": the denoiser, on latents of the frozen autoencoder under captions through the frozen text encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from transformers import CLIPTextModel, CLIPTokenizer

from ..world import SIZE
from .batches import BATCH, FACTOR, Batches, WithReader
from .clip import tokens
from .data import Dataset
from .loop import Run, train

MAX_X0_WEIGHT = 2.0
READER_WEIGHT = 0.05


def build() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=SIZE // FACTOR,
        in_channels=4,
        out_channels=4,
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def fit(
    run: Run,
    data: Dataset,
    latents: torch.Tensor,
    tokenizer: CLIPTokenizer,
    encoder: CLIPTextModel,
    sample: Callable[[torch.nn.Module, Path], None] | None = None,
    start: UNet2DConditionModel | None = None,
) -> UNet2DConditionModel:
    """Trains on scaled `latents` (N, 4, 16, 16), epsilon prediction; from `start` where there is no checkpoint.

    The clean latents' error weighs sqrt(SNR), at most MAX_X0_WEIGHT (debiased, arXiv 2310.08442): what is drawn is
    settled in the noisiest quarter, where the plain epsilon loss weighs it by the SNR and sees little.
    """
    unet = start or build()
    attention = unet.up_blocks[1].attentions[-1]
    model = WithReader(unet, attention, attention.in_channels, lambda output: output[0]).to(run.device)
    scheduler = build_scheduler()
    batches = Batches(run, data, latents)

    def step_loss(step: int) -> torch.Tensor:
        batch = batches.next()
        with torch.no_grad():
            condition = encoder(tokens(tokenizer, batch.texts, run.device))[0]
        t = torch.randint(0, scheduler.config.num_train_timesteps, (BATCH,), generator=batches.generator)
        t = t.to(run.device)
        noisy = scheduler.add_noise(batch.latents, batch.noise, t)
        predicted, misread = model(batch, noisy, t, condition)
        snr = compute_snr(scheduler, t)
        error = (batch.weights * (predicted.float() - batch.noise).square()).mean((1, 2, 3))
        denoised = (error * snr.sqrt().clamp(max=MAX_X0_WEIGHT) / snr).mean()
        return denoised + READER_WEIGHT * misread

    def sample_unet(_: torch.nn.Module, path: Path) -> None:
        if sample:
            sample(model.denoiser, path)

    train(run, "unet", model, step_loss, rate=1e-3, ema_decay=0.999, sample=sample_unet)
    return model.dropped()


def scaled_latents(vae: AutoencoderKL, means: torch.Tensor) -> torch.Tensor:
    return means * vae.config.scaling_factor
