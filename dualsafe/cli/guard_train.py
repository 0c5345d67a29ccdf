"""`dualsafe guard train`: guards trained on pairs, against the same number of pictures without pairing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .bar import Bar
from .failure import resumable
from .load import device_of
from .options import Device, Resume, folder


def train(
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="Folder of a pair run.")],
    out: Annotated[Path, folder("Folder for curve.json, curve.png, table.md and the guard.")],
    features: Annotated[str, typer.Option(help="picto-clip, clip:PATH, or vision:PATH.")] = "picto-clip",
    n: Annotated[str, typer.Option("--n", help="Training pictures: 8..1024, doubling, or 8,32,128.")] = "8..1024",
    seeds: Annotated[int, typer.Option(min=5, help="Draws of each arm and size.")] = 20,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="Test there too, once for each: a pair run, or pictures in the folders unsafe and safe.",
        ),
    ] = None,
    null: Annotated[
        list[Path] | None, typer.Option(help="Pair run of null edits for the real-or-edited control, once for each.")
    ] = None,
    resume: Resume = False,
    device: Device = None,
) -> None:
    """Trains guards on PAIRS: paired and unpaired arms at equal numbers of pictures."""
    from transformers.utils import logging

    from ..guard.train import TrainSettings, train

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    settings = TrainSettings(
        pairs=pairs,
        features=features,
        sizes=_sizes(n),
        seeds=seeds,
        also=dict(_named(text) for text in also or ()),
        nulls=tuple(null or ()),
    )
    with resumable(out), Bar("head") as bar:
        results = train(settings, out, device_of(device), bar.show, resume)
    if results["left_out"]:
        typer.echo(f"left out, too few training pairs: n = {', '.join(map(str, results['left_out']))}", err=True)
    typer.echo((out / "table.md").read_text(encoding="utf-8"))
    typer.echo(f"guard:{out / 'guard'}")


def _sizes(text: str) -> tuple[int, ...]:
    try:
        first, dots, last = text.partition("..")
        if not dots:
            return tuple(int(part) for part in text.split(","))
        sizes = [int(first)]
        while 0 < sizes[-1] * 2 <= int(last):
            sizes.append(sizes[-1] * 2)
        return tuple(sizes)
    except ValueError as error:
        raise ValueError(f"--n {text!r} must be like 8..1024, or like 8,32,128") from error


def _named(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise ValueError(f"--also {text!r} must be NAME=FOLDER")
    return name, Path(folder)
