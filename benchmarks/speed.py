"""What each way of drawing costs against diffusers' own pipeline: denoiser rows, seconds, memory, use of the chip.

    python benchmarks/speed.py                                       # picto; the full sizes where there is a GPU
    python benchmarks/speed.py --families picto --rounds 1 --steps 4 --batches 1     # a look at the form
    timeout 600 python benchmarks/speed.py --families sd15 sdxl      # what ten minutes of a GPU give
    python benchmarks/speed.py --scale tiny --steps 2 --rounds 1     # the same code on tiny models, on any machine

Writes benchmarks/results/speed.{json,md}, speed_gpu where there is a GPU, or speed_tiny with `--scale tiny`, after
every batch size. Picto is trained and drawn on the CPU; the other families have random weights at their published
sizes, which cost what trained ones do and draw nothing. All modes take turns in every round, on the same prompts from
the same seeds; a ratio is the median over rounds of a mode's seconds by the stock pipeline's of that round. A pair is
two pictures, but counts as one, and is compared with one stock picture. Seconds are those of the whole call, text
encoders and autoencoder too; the share of the chip is what the denoiser computes in that time, by the rate of a large
matrix product in the same dtype. Memory is that of all tensors on a GPU, and else of the whole process. A mode that
fails or runs out of memory is recorded so. Leave the machine alone while it runs.
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import torch
from harness import write
from speed_meters import flops_a_row, forget_peak, matmul_rate, peak_mib, release, synchronize
from speed_models import FAMILIES, parameters
from speed_modes import MODES, Draw, Loaded, load_picto, load_random
from tqdm.auto import tqdm

from dualsafe.bench.environment import machine, versions

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
BATCHES = {"picto": (1, 4)}
FULL_BATCHES = (1, 4, 16)
WARM_STEPS = 4  # enough to be in every phase once
MEASURED, NO_GPU, NO_MEMORY = "measured", "skipped: no CUDA device", "out of memory"
COLUMNS = {
    "rows": "{:.0f}",
    "rows_by_stock": "{:.2f}",
    "seconds": "{:.3f}",
    "seconds_by_stock": "{:.2f}",
    "images_a_second": "{:.2f}",
    "peak_mib": "{:.0f}",
    "flops_share": "{:.1%}",
}
HEADINGS = ("rows", "by stock", "seconds a picture", "by stock", "pictures a second", "peak MiB", "share of the chip")


@dataclass
class Timed:
    """What was seen of one mode so far."""

    status: str = MEASURED
    rows: float = math.nan
    peak: float | None = None
    seconds: list[float] = field(default_factory=list)


def measured(
    draws: Mapping[str, Draw],
    batch: int,
    rounds: int,
    warm: Mapping[str, Draw] | None = None,
    device: str = "cpu",
) -> dict[str, dict[str, Any]]:
    """Status of each mode, and if measured rows, seconds and pictures a second, and the first two by the stock's.

    Args:
        draws: by mode; "stock" is the one to compare with, and the first.
        warm: the same with fewer steps, for the calls that allocate and compile; `draws` themselves by default.
    """
    timed = {name: Timed() for name in draws}
    for k in tqdm(range(rounds), leave=False):
        for name, draw in draws.items():
            if timed[name].status != MEASURED:
                continue
            try:
                if k == 0:
                    (warm or draws)[name](list(range(batch)))
                _draw(timed[name], draw, [1000 + k * batch + i for i in range(batch)], device)
            except Exception as error:  # whatever it is, the other modes are measured
                timed[name].status = _why(error)
            if timed[name].status == NO_MEMORY:
                release()  # only now: the error held what its frames held
    return {name: _figures(timed[name], timed.get("stock", Timed()), batch) for name in draws}


def _draw(timed: Timed, draw: Draw, seeds: list[int], device: str) -> None:
    synchronize(device)
    forget_peak(device)
    begin = time.perf_counter()
    timed.rows = draw(seeds)
    synchronize(device)
    timed.seconds.append(time.perf_counter() - begin)
    timed.peak = max(filter(None, (timed.peak, peak_mib(device))), default=None)


def _why(error: Exception) -> str:
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return NO_MEMORY
    return f"failed: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _figures(timed: Timed, stock: Timed, batch: int) -> dict[str, Any]:
    if timed.status != MEASURED or not timed.seconds:
        return {"status": timed.status}
    found = {
        "status": timed.status,
        "rounds": len(timed.seconds),
        "rows": timed.rows,
        "seconds": statistics.median(timed.seconds) / batch,
        "images_a_second": batch / statistics.median(timed.seconds),
        "peak_mib": timed.peak,
    }
    if stock.seconds and stock.status == MEASURED:
        found["rows_by_stock"] = timed.rows / stock.rows
        found["seconds_by_stock"] = statistics.median(a / b for a, b in zip(timed.seconds, stock.seconds))
    return found


class Bench:
    """All families, one after the other.

    Attributes:
        about: family -> its status and what its cells have in common.
        cells: family, batch and mode, and what was measured.
    """

    def __init__(self, asked: argparse.Namespace):
        self.asked = asked
        self.about: dict[str, dict[str, Any]] = {}
        self.cells: list[dict[str, Any]] = []

    def run(self) -> None:
        for name in self.asked.families:
            self._family(name)
            release()

    def _device(self, name: str) -> str:
        return "cpu" if name == "picto" else self.asked.device or ("cuda" if self.asked.scale == "full" else "cpu")

    def _batches(self, name: str) -> Sequence[int]:
        return self.asked.batches or BATCHES.get(name, FULL_BATCHES)

    def _family(self, name: str) -> None:
        device = self._device(name)
        if device.startswith("cuda") and not torch.cuda.is_available():
            self.about[name] = {"status": NO_GPU}
        else:
            try:
                loaded, self.about[name] = self._load(name, device)
            except Exception as error:  # a family that cannot be made is a result, too
                self.about[name] = {"status": _why(error)}
        if self.about[name]["status"] == MEASURED:
            for batch in self._batches(name):
                self._batch(name, loaded, batch)
        self.save()

    def _load(self, name: str, device: str) -> tuple[Loaded, dict[str, Any]]:
        """The family, and what there is to know of it before it draws."""
        asked, usual = self.asked, "bfloat16" if device.startswith("cuda") else "float32"
        dtype = torch.float32 if name == "picto" else DTYPES[asked.dtype or usual]
        begin, count = time.perf_counter(), max(self._batches(name))
        loaded = load_picto(count) if name == "picto" else load_random(name, count, asked.scale, device, dtype)
        about = {
            "status": MEASURED,
            "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
            "dtype": str(dtype).removeprefix("torch."),
            "parameters": parameters(loaded.dual),
            "call": loaded.call | ({"num_inference_steps": asked.steps} if asked.steps else {}),
            "flops_a_row": flops_a_row(loaded.stock, loaded.denoiser, loaded.call),
            "matmul_flops_a_second": matmul_rate(device, dtype, 256 if asked.scale == "tiny" else None),
        }
        if asked.compile:
            getattr(loaded.dual, loaded.denoiser).compile()
        return loaded, about | {"seconds_to_load": time.perf_counter() - begin}

    def _batch(self, name: str, loaded: Loaded, batch: int) -> None:
        asked, about = self.asked, self.about[name]
        steps = about["call"]["num_inference_steps"]
        draws, warm = (loaded.draws(asked.modes, batch, number) for number in (steps, min(steps, WARM_STEPS)))
        found = measured(draws, batch, asked.rounds, warm, self._device(name))
        for mode, figures in found.items():
            if figures["status"] == MEASURED:
                flops = about["flops_a_row"] * figures["rows"] / figures["seconds"]
                figures["flops_share"] = flops / about["matmul_flops_a_second"]
            self.cells.append({"family": name, "batch": batch, "mode": mode} | figures)
        self.save()

    def table(self) -> str:
        """A line a cell, and one for a family that has none."""
        lines = ["| family | batch | mode | " + " | ".join(HEADINGS) + " |", "|---" * (3 + len(HEADINGS)) + "|"]
        for name, about in self.about.items():
            mine = [cell for cell in self.cells if cell["family"] == name]
            for cell in mine or [{"batch": "all", "mode": "all", "status": about["status"]}]:
                values = [form.format(cell[key]) if cell.get(key) is not None else "" for key, form in COLUMNS.items()]
                if cell["status"] != MEASURED:
                    values[0] = cell["status"]
                lines.append(f"| {name} | {cell['batch']} | {cell['mode']} | " + " | ".join(values) + " |")
        return "\n".join(lines)

    def save(self) -> None:
        """Writes what there is, so that a run that is cut off leaves it behind."""
        more = {"asked": vars(self.asked), "versions": versions(), "machine": machine(), "sampling": "by family"}
        full = "speed_gpu" if torch.cuda.is_available() else "speed"
        stem = full if self.asked.scale == "full" else "speed_tiny"
        with redirect_stdout(io.StringIO()):
            write(stem, "speed.py", {"families": self.about, "cells": self.cells}, self.table(), **more)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    families = ("picto", *FAMILIES)
    parser.add_argument("--families", nargs="+", choices=families, default=families)
    parser.add_argument("--batches", type=int, nargs="+", help="pictures a call; 1 and 4 on picto, 1, 4 and 16 else")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="stock is always measured")
    parser.add_argument("--steps", type=int, help="of the scheduler; the family's usual number by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", choices=("full", "tiny"), default="full", help="of the families with random weights")
    parser.add_argument("--device", help="of those families: cuda by default, cpu if tiny")
    parser.add_argument("--dtype", choices=DTYPES, help="of those families: bfloat16 on a GPU, else float32")
    parser.add_argument("--compile", action="store_true", help="compile the denoisers")
    return parser.parse_args(arguments)


def main() -> None:
    bench = Bench(parsed())
    bench.run()
    print(bench.table())


if __name__ == "__main__":
    main()
