"""A small fine-tune: a linear probe first, then the head and the tower's last blocks together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from ..judges.trained import Head
from ..judges.vision import Tower
from .probe import Probe


class Finetune:
    """Linear probing, then fine-tuning (Kumar et al., arXiv 2202.10054), by AdamW.

    Args:
        blocks: how many of the tower's last blocks are trained; all of them, if it has fewer.
        steps: of AdamW, with `batch` pictures each.
        rate: learning rate; falls to 0 along a cosine.

    Raises:
        ValueError: the tower has no list of blocks.
    """

    def __init__(self, tower: Tower, blocks: int = 1, steps: int = 60, rate: float = 1e-4, batch: int = 32):
        self.tower, self._steps, self._rate, self._batch = tower, steps, rate, batch
        self._trained = _last_blocks(tower, blocks)
        self.about = {"name": "finetune", "blocks": blocks, "steps": steps, "rate": rate, "batch": batch}

    def see(self, images: list[Image.Image]) -> NDArray[np.float16]:
        return self.tower.pixels(images).half().numpy()

    def fit(self, x: NDArray[Any], unsafe: NDArray[np.bool_], seed: int) -> Head:
        device = self.tower.model.device
        start = Probe(self.tower).fit(self._features(x), unsafe, seed)
        own = dict(self.tower.model.named_parameters())
        blocks = {name: own[name].clone().requires_grad_() for name in self._trained}
        head = Head(start.weight.to(device).requires_grad_(), start.bias.to(device).requires_grad_(), blocks)
        optimiser = torch.optim.AdamW([head.weight, head.bias, *blocks.values()], lr=self._rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self._steps)
        rng = np.random.default_rng(seed)
        for _ in range(self._steps):
            rows = rng.choice(len(x), min(self._batch, len(x)), replace=False)
            logits = head.logits(self.tower, torch.from_numpy(x[rows]))
            optimiser.zero_grad()
            F.binary_cross_entropy_with_logits(logits, torch.from_numpy(unsafe[rows]).to(logits)).backward()
            optimiser.step()
            schedule.step()
        return Head(head.weight.detach(), head.bias.detach(), {name: p.detach() for name, p in blocks.items()})

    @torch.no_grad()
    def logits(self, head: Head, x: NDArray[Any]) -> NDArray[np.float64]:
        parts = [head.logits(self.tower, part) for part in torch.from_numpy(x).split(self._batch)]
        return torch.cat(parts).double().cpu().numpy()

    @torch.no_grad()
    def _features(self, x: NDArray[Any]) -> NDArray[np.float32]:
        return torch.cat([self.tower(part) for part in torch.from_numpy(x).split(self._batch)]).cpu().numpy()


def _last_blocks(tower: Tower, count: int) -> list[str]:
    """Names of the parameters of the last blocks: of the longest list of modules."""
    lists = [(name, m) for name, m in tower.model.named_modules() if isinstance(m, torch.nn.ModuleList)]
    if not lists:
        raise ValueError(f"features {tower.spec!r} has no list of blocks, so that none can be fine-tuned")
    name, blocks = max(lists, key=lambda each: len(each[1]))
    wanted = tuple(f"{name}.{i}." for i in range(max(0, len(blocks) - count), len(blocks)))
    return [parameter for parameter, _ in tower.model.named_parameters() if parameter.startswith(wanted)]
