"""Erased stable diffusion (Gandikota et al., arXiv 2303.07345), ESD-x: a short fine-tune of the cross-attentions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from ..pipelines.dual import DualLatentMixin
from ..policy import Policy
from .edited import cross_attention
from .protocol import concepts


@dataclass(frozen=True)
class ESD:
    """Teaches the model's prediction under a concept c to point away from it, where the model itself would be with c:

    loss = || e_new(z_t, c) - (e_c - eta (e_c - e_0)) ||^2 (mean), z_t drawn by the old model, by DDIM under c at
    guidance 3.

    With eta = 2 the target is e_0 - (e_c - e_0), the paper's with its eta = 1. The released code
    (rohitgandikota/erasing, esd_sd.py) is followed in that, and in Adam's rate and in the number of rounds; the paper
    trains for 1,000 at 1e-5. Both take one concept; of several, each round takes one at random.

    Attributes:
        rounds: of one latent each.
        rate: Adam's.
        eta: how far away.
        steps, guidance_scale: of the drawing of z_t.
        batch: so many z_t are drawn together; the old model draws them, so that it makes no difference when.
        seed: of the dice.
    """

    rounds: int = 200
    rate: float = 5e-5
    eta: float = 2.0
    steps: int = 50
    guidance_scale: float = 3.0
    batch: int = 20
    seed: int = 0

    @torch.enable_grad()
    def __call__(self, pipe: DualLatentMixin, unet: nn.Module, policy: Policy) -> None:
        """
        Raises:
            ValueError: a checkpoint with more than one text encoder.
        """
        if getattr(pipe, "text_encoder_2", None) is not None:
            raise ValueError("esd-x needs a Stable Diffusion 1.x or 2.x checkpoint: one text encoder and a UNet")
        trained = [part for layer in cross_attention(unet).values() for part in layer.parameters()]
        optimiser = torch.optim.Adam([part.requires_grad_() for part in trained], lr=self.rate)
        embeds = pipe.encode_texts(["", *concepts(policy)])["prompt_embeds"]
        dice = torch.Generator().manual_seed(self.seed)
        for z, timestep, told in self._latents(pipe, embeds, dice):
            with torch.no_grad():
                e_0, e_c = predicted(pipe.unet, z, timestep, told)
            loss = F.mse_loss(predicted(unet, z, timestep, told[1:])[0], e_c - self.eta * (e_c - e_0))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        unet.requires_grad_(False)

    def _latents(self, pipe: DualLatentMixin, embeds: Tensor, dice: torch.Generator) -> Iterator[tuple]:
        """Each round's latents as the model's input, drawn to a random step, that step's timestep, and what they are
        told: the embeddings (2, ...) without text, and of a random concept."""
        scheduler = DDIMScheduler.from_config(pipe.scheduler.config)  # takes no noise of its own
        scheduler.set_timesteps(self.steps, device=embeds.device)
        shape = (1, pipe.unet.config.in_channels, *[pipe.unet.config.sample_size] * 2)
        for first in range(0, self.rounds, self.batch):
            chosen, last, noise = [], [], []
            for _ in range(min(self.batch, self.rounds - first)):
                chosen.append(1 + int(torch.randint(len(embeds) - 1, (), generator=dice)))
                last.append(int(torch.randint(len(scheduler.timesteps), (), generator=dice)))
                noise.append(torch.randn(shape, generator=dice))
            z = torch.cat(noise).to(embeds) * scheduler.init_noise_sigma
            for k, timestep in enumerate(scheduler.timesteps[: max(last)]):
                here = [i for i, end in enumerate(last) if k < end]
                z[here] = self._step(
                    pipe.unet, scheduler, timestep, z[here], embeds[[chosen[i] for i in here]], embeds[:1]
                )
            for i, end in enumerate(last):
                timestep = scheduler.timesteps[end]
                yield scheduler.scale_model_input(z[i : i + 1], timestep), timestep, embeds[[0, chosen[i]]]

    @torch.no_grad()
    def _step(self, unet: Any, scheduler: Any, timestep: Any, z: Tensor, told: Tensor, empty: Tensor) -> Tensor:
        """Latents (N, C, h, w) a step on, each guided to a concept of its own, (N, ...)."""
        twice = scheduler.scale_model_input(z, timestep).repeat(2, 1, 1, 1)
        embeds = torch.cat([empty.expand_as(told), told])
        e_0, e_c = unet(twice, timestep, encoder_hidden_states=embeds, return_dict=False)[0].chunk(2)
        return scheduler.step(e_0 + self.guidance_scale * (e_c - e_0), timestep, z, return_dict=False)[0]


def predicted(unet: Any, z: Tensor, timestep: Any, told: Tensor) -> Tensor:
    """Predictions (K, C, h, w) for one latent z (1, C, h, w) under K embeddings."""
    return unet(z.expand(len(told), -1, -1, -1), timestep, encoder_hidden_states=told, return_dict=False)[0]
