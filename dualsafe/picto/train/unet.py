"""Stage "unet": the denoiser, on latents of the frozen autoencoder under captions through the frozen text encoder."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from torch.nn import functional as F
from transformers import CLIPTextModel, CLIPTokenizer

from ..captions import TRAINING, caption
from ..scene import Scene
from ..subjects import HAND
from ..world import ITEMS, SIZE
from .clip import tokens
from .data import Dataset
from .loop import Run, train

BATCH = 32
FACTOR = 4  # pixels a latent, each way
DROPPED_CAPTIONS = {False: 0.12, True: 0.01}
"""By whether the scene is unsafe: of pictures without words few are, as in what real models are trained on. Negative
prompts and safety concepts are set against what the model draws without words."""
MAX_X0_WEIGHT = 2.0
SLOT_WEIGHT = 4.0
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


def slot_weights(scenes: list[Scene], masks: torch.Tensor) -> torch.Tensor:
    """Loss weights (N, 1, 16, 16): more where an item is held, whether one is held or not, or covers the subject.

    Weighing the hand of every scene, empty ones too, keeps the model from preferring an item to none.
    """
    weights = torch.ones(len(scenes), 1, SIZE // FACTOR, SIZE // FACTOR)
    for i, scene in enumerate(scenes):
        x = (25 + scene.x + HAND[0] * scene.scale) / FACTOR
        y = (32 + scene.y + HAND[1] * scene.scale) / FACTOR
        weights[i, 0, int(y - 3.2) : int(y + 3.7), int(x - 3) : int(x + 3.7)] = SLOT_WEIGHT
    worn = torch.tensor([ITEMS[scene.item].worn for scene in scenes])
    covered = F.max_pool2d(masks[worn][:, None].float(), FACTOR)
    weights[worn] = torch.maximum(weights[worn], 1 + (SLOT_WEIGHT - 1) * covered)
    return weights


class WithReader(torch.nn.Module):
    """The denoiser with a linear reader that names the item from its features at the hand; the reader is dropped later.

    Where noise hides the item only the caption tells it, so reading it there makes cross-attention carry the item's
    word to its place, which the pixels' error alone is slow to teach (compare REPA, arXiv 2410.06940).
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet
        attention = unet.up_blocks[1].attentions[-1]
        self.reader = torch.nn.Linear(attention.in_channels, len(ITEMS))
        self.hook = attention.register_forward_hook(self._keep)

    def _keep(self, module: torch.nn.Module, args: tuple, output: tuple) -> None:
        self.features = output[0]

    def forward(
        self, noisy: torch.Tensor, t: torch.Tensor, condition: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The predicted noise (N, 4, 16, 16) and the item's logits (N, items), pooled by `weights` (N, 1, 16, 16)."""
        predicted = self.unet(noisy, t, condition).sample
        place = F.avg_pool2d(weights - 1, 2)
        pooled = (self.features * place).sum((2, 3)) / place.sum((2, 3))
        return predicted, self.reader(pooled)


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
    model = WithReader(start or build()).to(run.device)
    items = torch.tensor([list(ITEMS).index(scene.item) for scene in data.scenes])
    scheduler = build_scheduler()
    weights = slot_weights(data.scenes, data.masks)
    rng = random.Random(run.seed)
    generator = torch.Generator().manual_seed(run.seed)

    def step_loss(step: int) -> torch.Tensor:
        rows = torch.randint(len(latents), (BATCH,), generator=generator)
        drawn = [data.scenes[i] for i in rows.tolist()]
        dropped = [rng.random() < DROPPED_CAPTIONS[scene.unsafe] for scene in drawn]
        texts = ["" if drop else caption(scene, rng, TRAINING) for scene, drop in zip(drawn, dropped)]
        with torch.no_grad():
            condition = encoder(tokens(tokenizer, texts, run.device))[0]
        z = latents[rows].to(run.device)
        noise = torch.randn(z.shape, generator=generator).to(run.device)
        t = torch.randint(0, scheduler.config.num_train_timesteps, (BATCH,), generator=generator).to(run.device)
        noisy = scheduler.add_noise(z, noise, t)
        weight = weights[rows].to(run.device)
        predicted, logits = model(noisy, t, condition, weight)
        snr = compute_snr(scheduler, t)
        error = (weight * (predicted.float() - noise).square()).mean((1, 2, 3))
        denoised = (error * snr.sqrt().clamp(max=MAX_X0_WEIGHT) / snr).mean()
        told = torch.tensor([bool(text) for text in texts])
        return denoised + READER_WEIGHT * F.cross_entropy(logits[told].float(), items[rows][told].to(run.device))

    def sample_unet(_: torch.nn.Module, path: Path) -> None:
        if sample:
            sample(model.unet, path)

    train(run, "unet", model, step_loss, rate=1e-3, ema_decay=0.999, sample=sample_unet)
    model.hook.remove()
    return model.unet


def scaled_latents(vae: AutoencoderKL, means: torch.Tensor) -> torch.Tensor:
    return means * vae.config.scaling_factor
