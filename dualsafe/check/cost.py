"""What a picture costs: denoiser rows, seconds, peak memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from .drawing import Drawing
from .ladders import Ladder


class Cost(NamedTuple):
    """
    Attributes:
        rows: function evaluations of the denoiser (NFE).
        gib: most memory that was allocated on a GPU meanwhile, in GiB; None on a CPU.
    """

    call: str
    rows: int
    seconds: float
    gib: float | None


def costs(drawing: Drawing, ladder: Ladder, plain: str, seed: int = 0) -> list[Cost]:
    """Of the stock call, and of a dual call for a benign prompt, for a safe picture and for a pair."""
    told: dict[str, Any] = {"safe_prompt": [ladder.safe_prompt], "kind": "pil"}
    calls: dict[str, Callable[[], Any]] = {
        "stock": lambda: drawing.stock([plain], seed, "pil"),
        "benign": lambda: drawing.dual([plain], seed, "pil"),
        "safe": lambda: drawing.dual([ladder.prompt], seed, **told),
        "pair": lambda: drawing.dual([ladder.prompt], seed, return_pair=True, **told),
    }
    rows_of_stock = drawing.dual([plain], seed, "pil", safety_level=0).safety[0].denoiser_rows  # and warms up
    return [_measured(name, call, rows_of_stock) for name, call in calls.items()]


def _measured(name: str, call: Callable[[], Any], rows_of_stock: int) -> Cost:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    output = call()
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    rows = output.safety[0].denoiser_rows if hasattr(output, "safety") else rows_of_stock
    return Cost(name, rows, seconds, torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None)
