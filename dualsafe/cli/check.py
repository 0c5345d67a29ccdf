"""`dualsafe check`: whether the method does on your checkpoint what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .failure import FAILED
from .load import device_of, is_picto, load_pipeline
from .options import Device, command_line, folder

if TYPE_CHECKING:
    from ..judges import Judge

MINUTES, STEPS = {True: 4.0, False: 50.0}, {True: 25, False: 12}
"""By default, on a GPU and elsewhere."""


def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A folder, a .safetensors file, a hub id, or picto.")],
    out: Annotated[Path, folder("For the report.")] = Path("out/check"),
    judge: Annotated[
        str | None, typer.Option(help="Who says what is unsafe, as `bench run` takes it; the checkpoint's own if any.")
    ] = None,
    clip: Annotated[
        str | None, typer.Option(help="Folder of a CLIP checkpoint, to measure by; the checkpoint's own if any.")
    ] = None,
    ladders: Annotated[int | None, typer.Option(min=1, max=12, help="Harmless ladders to draw, of twelve.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Of each ladder.")] = 1,
    steps: Annotated[int | None, typer.Option(min=2, help="Denoising steps; 25 on a GPU, else 12.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WIDTHxHEIGHT", help="The model's own.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="For calibration, ladders and judged prompts; 4 on a GPU, else 50.")
    ] = None,
    device: Device = None,
) -> None:
    """Draws with MODEL as stock does and as dualsafe does, and reports: what must hold, what it costs, what it does.

    The watch's threshold is kept in MODEL's folder, as `dualsafe calibrate` does, unless one is there already; with a
    judge and enough minutes the dial, too.

    Exits with 1 where something that must hold does not.
    """
    height_and_width = _size(size)
    from ..check.report import write_report
    from ..check.run import check as checked

    on_gpu = device_of(device) != "cpu"
    pipe = load_pipeline(model, device)
    pipe.set_progress_bar_config(disable=True)
    results, rungs = checked(
        pipe,
        steps=steps or STEPS[on_gpu],
        minutes=MINUTES[on_gpu] if minutes is None else minutes,
        ladders=ladders,
        seeds=seeds,
        size=height_and_width,
        judge=_judge(pipe, judge, model, device_of(device)),
        scorer=_scorer(pipe, clip, device_of(device)),
        keep=_keep(model, out),
        say=lambda text: typer.echo(text, err=True),
    )
    files = write_report(out, results, rungs, command_line())
    for each in results["contracts"]:
        typer.echo(f"{'holds' if each['kept'] else 'FAILS'}: {each['promise']}")
    typer.echo("\n".join(str(file) for file in files))
    if not results["passed"]:
        raise typer.Exit(FAILED)


def _size(text: str | None) -> tuple[int, int] | None:
    """Height and width.

    Raises:
        ValueError: not WIDTHxHEIGHT.
    """
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ValueError(f"--size {text} must be WIDTHxHEIGHT, in pixels")
    return int(height), int(width)


def _judge(pipe: Any, spec: str | None, model: str, device: str) -> Judge | None:
    """Picto is judged by one that had no part in its pictures, another checkpoint by its own."""
    from ..judges.of_checkpoint import own_judge
    from ..judges.registry import load_judge

    if spec is None and is_picto(model):
        spec = "picto"
    return own_judge(pipe) if spec is None else load_judge(spec, device)


def _keep(model: str, out: Path) -> Path:
    """Where the calibration is kept: beside the weights; in the report for one file, the hub's or the bundled one."""
    from ..calibration import FILE

    if not is_picto(model) and Path(model).is_dir():
        return Path(model)
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE).unlink(missing_ok=True)  # of another checkpoint, maybe
    return out


def _scorer(pipe: Any, folder: str | None, device: str) -> Any:
    own = Path(str(pipe.config.get("_name_or_path"))) / "clip"
    if folder is None and not own.is_dir():
        return None
    from ..bench.clip_score import ClipScorer

    return ClipScorer.from_pretrained(folder or str(own), device)
