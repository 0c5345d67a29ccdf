"""What speed.py reads off a machine: peak memory, the rate of a matrix product, rows and operations of a denoiser."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dualsafe.stand_in import standing_in

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FORGET_THE_PEAK = "5"  # to the kernel; see proc(5)


class RowCounter:
    """Stands in for a denoiser and counts the rows of its batches."""

    def __init__(self, model: Any):
        self.model, self.rows = model, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self.model(*args, **kwargs)
        self.rows += len(output[0])
        return output


class FlopCounter(RowCounter):
    """Counts floating-point operations, too."""

    def __init__(self, model: Any):
        super().__init__(model)
        self.flops = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _counted() as counter:
            output = super().__call__(*args, **kwargs)
        self.flops += counter.get_total_flops()
        return output


@torch.no_grad()
def operations(run: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    """Floating-point operations of one call of `run`."""
    with _counted() as counter:
        run(*args, **kwargs)
    return counter.get_total_flops()


@contextmanager
def _counted() -> Iterator[FlopCounterMode]:
    """Attention as plain matrix products, which are counted on every device."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        yield counter


def flops_a_row(pipe: DiffusionPipeline, denoiser: str, call: dict[str, Any]) -> float:
    """Floating-point operations of one row of the denoiser's batch in a short stock call, not compiled."""
    counter = FlopCounter(getattr(pipe, denoiser))
    with standing_in(pipe, {denoiser: counter}):
        pipe("a man", output_type="latent", **call | {"num_inference_steps": 2})
    return counter.flops / counter.rows


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


@torch.no_grad()
def matmul_rate(device: str, dtype: torch.dtype, side: int | None = None, times: int = 10) -> float:
    """Floating-point operations a second of a product of two large square matrices: the best of three rounds."""
    side = side or (8192 if device.startswith("cuda") else 1024)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(4):  # the first is a warm-up
        synchronize(device)
        begin = time.perf_counter()
        for _ in range(times):
            a @ b
        synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return 2 * side**3 * times / min(seconds[1:])


def forget_peak(device: str) -> None:
    """Memory counts from here on; where the system does not let a process forget, from its start."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            _CLEAR.write_text(_FORGET_THE_PEAK)


def peak_mib(device: str) -> float | None:
    """The most memory held since `forget_peak`: tensors on a GPU, else this process's resident set; None if unknown."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**20
    if not _STATUS.exists():
        return None
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def release() -> None:
    """Gives back what nobody holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
