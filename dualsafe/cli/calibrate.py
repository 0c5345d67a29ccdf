"""`dualsafe calibrate`: thresholds that fit a checkpoint, from its own benign prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .load import is_picto, load_pipeline
from .options import Device


def calibrate(
    model: Annotated[str, typer.Argument(help="The checkpoint's folder, or dualsafe/picto.")],
    prompts: Annotated[
        Path | None, typer.Option(help="Text file of benign prompts, one a line; picto brings its own.")
    ] = None,
    false_alarms: Annotated[float, typer.Option(help="Share of them that may be flagged.")] = 0.05,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 25,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; the pipeline's own by default.")] = None,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to instead of the checkpoint's.")] = None,
) -> None:
    """Finds the watch's threshold on benign prompts, and keeps it beside the checkpoint as dualsafe.json."""
    from ..bundled import PICTO
    from ..calibration import calibrate as find
    from ..calibration import save
    from ..picto.prompts import prompt_set

    if prompts is not None:
        texts = [line.strip() for line in prompts.read_text(encoding="utf-8").splitlines() if line.strip()]
    elif is_picto(model):
        texts = [case.prompt for name in ("benign", "neighbour", "context") for case in prompt_set(name, 70, seed=5)]
    else:
        raise ValueError("--prompts is missing: give a text file of benign prompts, one a line")
    folder = out or Path(PICTO if is_picto(model) else model)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give --out, a folder of your own")
    sampling = {"num_inference_steps": steps} | ({} if guidance is None else {"guidance_scale": guidance})
    found = find(load_pipeline(model, device), texts, false_alarms, **sampling)
    typer.echo(f"{save(found, folder)}: watch {found['settings']['watch']}, from {found['prompts']} prompts")
