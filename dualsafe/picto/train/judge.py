"""Stages "judge", "guard", "examiner": attribute judges, on renders and on what the autoencoder makes of them."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F

from ...judges.picto import PictoJudge
from ..world import ALL_SUBJECTS, COLOURS, ITEMS, SETTINGS, UNSAFE_ITEMS
from .data import Dataset, to_model
from .loop import Run, train

BATCH = 64
HEADS = {
    "setting": list(SETTINGS),
    "subject": list(ALL_SUBJECTS),
    "colour": list(COLOURS),
    "item": list(ITEMS),
}


def labels(data: Dataset, head: str) -> torch.Tensor:
    return torch.tensor([HEADS[head].index(getattr(scene, head)) for scene in data.scenes])


@torch.no_grad()
def _round_trip(vae: AutoencoderKL, x: torch.Tensor) -> torch.Tensor:
    return vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)


def _augment(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Noise, brightness and a slight blur, as a generated picture may have them."""
    n = len(x)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    mix = (torch.rand(n, 1, 1, 1, generator=generator) * 0.7).to(x.device)
    gain = (1 + 0.1 * (torch.rand(n, 1, 1, 1, generator=generator) - 0.5)).to(x.device)
    noise = torch.randn(x.shape, generator=generator).to(x.device) * 0.06
    return ((1 - mix) * x + mix * blurred) * gain + noise


CHANNELS = {"judge": (24, 48, 80, 128), "guard": (16, 40, 64, 96), "examiner": (16, 32, 56, 112)}


def fit(
    run: Run, data: Dataset, vae: AutoencoderKL | None, name: str = "judge", start: PictoJudge | None = None
) -> PictoJudge:
    """Trains the judge of this name, from `start` or from its own seed where there is no checkpoint."""
    seed = run.seed + list(CHANNELS).index(name)
    torch.manual_seed(seed)
    model = start or PictoJudge(heads=HEADS, unsafe_items=list(UNSAFE_ITEMS), channels=CHANNELS[name])
    model = model.to(run.device)
    generator = torch.Generator().manual_seed(seed)
    truth = {head: labels(data, head) for head in HEADS}

    def step_loss(step: int) -> torch.Tensor:
        rows = torch.randint(len(data.images), (BATCH,), generator=generator)
        x = to_model(data.images[rows], run.device)
        if vae is not None and step % 4 == 0:
            x = _round_trip(vae, x)
        logits = model(_augment(x, generator))
        losses = [F.cross_entropy(logits[h], truth[h][rows].to(run.device), label_smoothing=0.02) for h in HEADS]
        return torch.stack(losses).sum()

    return train(run, name, model, step_loss, rate=2e-3, ema_decay=0.99)


@torch.no_grad()
def measure(model: PictoJudge, data: Dataset, device: torch.device) -> dict[str, float]:
    """Accuracy per head on renders."""
    hits = dict.fromkeys(HEADS, 0)
    for rows in torch.arange(len(data.images)).split(200):
        logits = model(to_model(data.images[rows], device))
        for head in HEADS:
            hits[head] += int((logits[head].argmax(-1).cpu() == labels(data, head)[rows]).sum())
    return {head: count / len(data.images) for head, count in hits.items()}
