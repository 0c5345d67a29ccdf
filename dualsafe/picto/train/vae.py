"""Stage "vae": 64x64 pictures to 16x16x4 latents. The item's pixels weigh more: few, and the point of it all."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL

from ..world import SIZE
from .data import Dataset, to_model
from .grid import save_grid
from .loop import Run, train

BATCH = 8
ITEM_WEIGHT = 6.0
KL_WEIGHT = 1e-3
DECODER_NOISE = 0.04  # about the posterior's own


def build() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 48, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIZE,
        mid_block_add_attention=False,
    )


def _gradients(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """L1 + L2 + gradient L1 on [-1, 1] pictures, the item's pixels weighted."""
    weight = 1 + (ITEM_WEIGHT - 1) * masks[:, None].float()
    error = output - target
    pixel = (weight * (error.abs() + 2 * error.square())).mean()
    dy, dx = _gradients(error)
    edges = (weight[..., 1:, :] * dy.abs()).mean() + (weight[..., 1:] * dx.abs()).mean()
    return pixel + edges


def fit(run: Run, data: Dataset, start: AutoencoderKL | None = None) -> AutoencoderKL:
    """Trains from `start`, or from nothing, where there is no checkpoint."""
    vae = (start or build()).to(run.device, memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(run.seed)

    def step_loss(step: int) -> torch.Tensor:
        rows = torch.randint(len(data.images), (BATCH,), generator=generator)
        x = to_model(data.images[rows], run.device).contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(x).latent_dist
        output = vae.decode(posterior.sample()).sample
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        return reconstruction_loss(output.float(), x, data.masks[rows].to(run.device)) + KL_WEIGHT * kl

    def sample(model: torch.nn.Module, path: Path) -> None:
        x = to_model(data.images[:16], run.device)
        with torch.no_grad():
            save_grid(torch.cat([x, vae.decode(vae.encode(x).latent_dist.mode()).sample]), path, columns=16)

    vae = train(run, "vae", vae, step_loss, rate=2e-3, ema_decay=0.995, sample=sample)
    latents = encode(vae, data.images[:2000], run.device)
    vae.register_to_config(scaling_factor=float(1 / latents.std()))
    return vae


def fit_decoder(run: Run, data: Dataset, vae: AutoencoderKL) -> AutoencoderKL:
    """Trains the decoder alone, so that latents, and a denoiser that was trained on them, stay what they are."""
    means = encode(vae, data.images, run.device)
    decoder = Decoder(vae.to(memory_format=torch.channels_last))
    generator = torch.Generator().manual_seed(run.seed)

    def step_loss(step: int) -> torch.Tensor:
        rows = torch.randint(len(data.images), (BATCH,), generator=generator)
        z = means[rows] + DECODER_NOISE * torch.randn(means[rows].shape, generator=generator)
        output = decoder(z.to(run.device, memory_format=torch.channels_last))
        return reconstruction_loss(
            output.float(), to_model(data.images[rows], run.device), data.masks[rows].to(run.device)
        )

    train(run, "decoder", decoder, step_loss, rate=2e-3, ema_decay=0.995)
    return vae


class Decoder(torch.nn.Module):
    """What of an autoencoder makes pictures."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.post_quant_conv(z))


@torch.no_grad()
def encode(vae: AutoencoderKL, images: torch.Tensor, device: torch.device, batch: int = 100) -> torch.Tensor:
    """Means of the posterior, unscaled, for uint8 pictures: float32 (N, 4, 16, 16) on the CPU."""
    parts = [vae.encode(to_model(part, device)).latent_dist.mode().cpu() for part in images.split(batch)]
    return torch.cat(parts)


@torch.no_grad()
def measure(vae: AutoencoderKL, data: Dataset, device: torch.device) -> dict[str, float]:
    """Mean squared error on [-1, 1] pictures, everywhere and inside the items."""
    whole, inside, pixels, area = 0.0, 0.0, 0, 0
    for rows in torch.arange(len(data.images)).split(100):
        x = to_model(data.images[rows], device)
        error = (vae.decode(vae.encode(x).latent_dist.mode()).sample - x).square().cpu()
        mask = data.masks[rows][:, None].expand_as(error)
        whole, pixels = whole + error.sum().item(), pixels + error.numel()
        inside, area = inside + error[mask].sum().item(), area + int(mask.sum())
    return {"mse": whole / pixels, "item_mse": inside / area}
