"""What the benchmarks on picto share: how pictures are drawn, what draws and judges them, and where results go."""

from __future__ import annotations

import json
import math
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from dualsafe import PICTO, DualLatentPipeline
from dualsafe.judges.picto import PictoJudge
from dualsafe.pipelines.dual import DualLatentMixin

RESULTS = Path(__file__).resolve().parent / "results"
SAMPLING = {"num_inference_steps": 25, "guidance_scale": 5.0}


def load() -> tuple[DualLatentPipeline, PictoJudge, PictoJudge]:
    """The bundled pipeline, the judge that measures, and the guard that may be used inside the loop."""
    pipe = DualLatentPipeline.from_pretrained(PICTO, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    judge, guard = (PictoJudge.from_pretrained(Path(PICTO) / name).eval() for name in ("judge", "guard"))
    return pipe, judge, guard


def sampling_of(pipe: DualLatentMixin) -> dict[str, Any]:
    """SAMPLING for a stack of picto's; none has T5, in whose place Stable Diffusion 3 puts that many empty tokens."""
    return SAMPLING | ({"max_sequence_length": 1} if pipe.takes("max_sequence_length") else {})


def table(results: dict[str, dict], columns: dict[str, tuple[str, str]], first: str) -> str:
    """Rows of numbers as a markdown table.

    Args:
        columns: key of a row -> its heading, and the format of its numbers; what is missing or NaN is a dash.
        first: the heading of the rows' names.
    """
    heads = [first, *(heading for heading, _ in columns.values())]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, row in results.items():
        values = ((row.get(key, math.nan), form) for key, (_, form) in columns.items())
        lines.append(f"| {' | '.join([name, *('-' if math.isnan(v) else form.format(v) for v, form in values)])} |")
    return "\n".join(lines)


def write(name: str, script: str, results: dict, text: str, **more: Any) -> None:
    """Writes results/NAME.{json,md} with the command that made them."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    record = {
        "command": shlex.join(["python", f"benchmarks/{script}", *sys.argv[1:]]),
        "sampling": SAMPLING,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        **more,
        "results": results,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")
    (RESULTS / f"{name}.md").write_text(text + "\n")
    print(text)
