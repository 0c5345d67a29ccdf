"""What every stage shares: a resumable loop with a time budget, a one-cycle rate, EMA, a progress bar and a log."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from diffusers.training_utils import EMAModel
from tqdm.auto import tqdm

M = TypeVar("M", bound=torch.nn.Module)


@dataclass(frozen=True)
class Run:
    """Where and how a stage runs.

    Attributes:
        folder: checkpoints, logs and sample grids.
        device: torch device.
        minutes: wall-clock budget of this call; the learning rate's cycle is laid over it.
        autocast: dtype of the forward pass, or None for float32.
        seed: seed of data order and noise.
        rate_scale: factor on each stage's peak learning rate; under 1 to refine weights that are already good.
    """

    folder: Path
    device: torch.device
    minutes: float
    autocast: torch.dtype | None
    seed: int = 0
    rate_scale: float = 1.0


def cycle(progress: float, warmup: float = 0.04, floor: float = 0.02) -> float:
    """One-cycle factor of the learning rate at `progress` in [0, 1]: linear up, cosine down to `floor`."""
    if progress < warmup:
        return max(progress / warmup, 0.02)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def train(
    run: Run,
    name: str,
    model: M,
    step_loss: Callable[[int], torch.Tensor],
    rate: float,
    ema_decay: float | None = 0.999,
    sample: Callable[[torch.nn.Module, Path], None] | None = None,
    sample_every_minutes: float = 10.0,
) -> M:
    """Trains `model` for `run.minutes` and returns it with its EMA weights.

    Args:
        step_loss: step number -> loss of a fresh batch.
        rate: peak learning rate.
        ema_decay: None trains without an average.
        sample: draws a grid of what the model can do so far.

    The checkpoint holds model, average, optimizer and step count; a new call resumes from it with a new cycle.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = run.folder / f"{name}.ckpt.pt"
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.99), fused=True)
    ema = EMAModel(model.parameters(), decay=ema_decay, use_ema_warmup=False) if ema_decay else None
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=run.device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if ema:
            ema.load_state_dict(state["ema"])
        step = state["step"]
    if ema:
        ema.to(run.device)
    torch.manual_seed(run.seed + step)

    def save() -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        if ema:
            state["ema"] = ema.state_dict()
        torch.save(state, checkpoint.with_suffix(".partial"))
        checkpoint.with_suffix(".partial").rename(checkpoint)

    begin, saved, smooth = time.monotonic(), time.monotonic(), None
    model.train()
    bar = tqdm(desc=name, unit="step", initial=step, mininterval=5)
    while (elapsed := time.monotonic() - begin) < run.minutes * 60:
        for group in optimizer.param_groups:
            group["lr"] = rate * run.rate_scale * cycle(elapsed / (run.minutes * 60))
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(run.device.type, run.autocast, enabled=run.autocast is not None):
            loss = step_loss(step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if ema:
            ema.step(model.parameters())
        step += 1
        bar.update()
        if step % 20 == 0:
            value = loss.item()
            smooth = value if smooth is None else 0.9 * smooth + 0.1 * value
            bar.set_postfix(loss=f"{smooth:.4f}")
            with (run.folder / f"{name}.log.jsonl").open("a") as log:
                log.write(json.dumps({"step": step, "loss": value, "minutes": round(elapsed / 60, 2)}) + "\n")
        if time.monotonic() - saved > 60 * sample_every_minutes:
            save()
            if sample:
                _with_average(model, ema, partial(sample, model, run.folder / f"{name}_{step:06d}.png"))
                model.train()
            saved = time.monotonic()
    bar.close()
    save()
    if ema:
        ema.copy_to(model.parameters())
    model.eval()
    if sample:
        sample(model, run.folder / f"{name}_{step:06d}.png")
    return model


def _with_average(model: torch.nn.Module, ema: EMAModel | None, action: Callable[[], None]) -> None:
    if ema is None:
        return action()
    ema.store(model.parameters())
    ema.copy_to(model.parameters())
    model.eval()
    try:
        action()
    finally:
        ema.restore(model.parameters())
