"""`dualsafe calibrate`: settings that fit a checkpoint, from its own pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .load import device_of, is_picto, load_pipeline
from .options import Device


def calibrate(
    model: Annotated[str, typer.Argument(help="The checkpoint's folder, or dualsafe/picto.")],
    prompts: Annotated[
        Path | None, typer.Option(help="Text file of benign prompts, one a line; picto brings its own.")
    ] = None,
    unsafe_prompts: Annotated[
        Path | None, typer.Option(help="Text file of unsafe ones, for the dial; picto brings its own.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="Calibrate the dial too, by what this judge sees: picto, classifier:PATH:LABEL.")
    ] = None,
    false_alarms: Annotated[float, typer.Option(help="Share of them that may be flagged.")] = 0.05,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = 25,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; the pipeline's own by default.")] = None,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to instead of the checkpoint's.")] = None,
) -> None:
    """Finds the watch's threshold on benign prompts, and with a judge the dial on unsafe ones; keeps both beside the
    checkpoint as dualsafe.json."""
    from ..bundled import PICTO
    from ..calibration import calibrate as find
    from ..calibration import calibrate_dial, save
    from ..judges.registry import load_judge

    texts = _lines(prompts, "--prompts", model, {"benign": 70, "neighbour": 70, "context": 70})
    unsafe = _lines(unsafe_prompts, "--unsafe-prompts", model, {"explicit": 40}) if judge else []
    looking = load_judge(judge, device_of(device)) if judge else None
    folder = out or Path(PICTO if is_picto(model) else model)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give --out, a folder of your own")
    sampling: dict[str, Any] = {"num_inference_steps": steps}
    if guidance is not None:
        sampling["guidance_scale"] = guidance
    pipe = load_pipeline(model, device)
    found = find(pipe, texts, false_alarms, **sampling)
    if looking is not None:
        dial = calibrate_dial(pipe, unsafe, looking, **sampling)
        found |= dial | {"settings": found["settings"] | dial["settings"]}
    typer.echo(f"{save(found, folder)}: watch {found['settings']['watch']}, from {found['prompts']} prompts")
    if looking is not None:
        typer.echo("dial " + ", ".join(f"{level:g}: {weight:g}" for level, weight in found["settings"]["dial"]))


def _lines(file: Path | None, option: str, model: str, own: dict[str, int]) -> list[str]:
    """The prompts of a text file; of picto's own sets where none is given.

    Args:
        own: so many of each of picto's sets.
    """
    from ..picto.prompts import prompt_set

    if file is not None:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not is_picto(model):
        raise ValueError(f"{option} is missing: give a text file of prompts, one a line")
    return [case.prompt for name, count in own.items() for case in prompt_set(name, count, seed=5)]
