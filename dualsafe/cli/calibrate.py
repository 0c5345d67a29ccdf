"""`dualsafe calibrate`: makes a checkpoint's prompt gate and keeps it beside the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .failure import one_line_errors
from .load import load_pipeline


def calibrate(
    model: Annotated[str, typer.Argument(help="Checkpoint in the diffusers layout.")],
    policy: Annotated[str, typer.Option(help="Name of a shipped policy or a YAML file.")] = "i2p",
    prompts: Annotated[
        Path | None, typer.Option(help="Neutral prompts, one a line, that 'with a ...' can follow; ours if not given.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; beside the checkpoint if not given.")] = None,
    device: Annotated[str | None, typer.Option(help="Torch device; the GPU if there is one.")] = None,
) -> None:
    """Finds which prompts are clearly benign in a checkpoint's own text space, so that they need no preview."""
    with one_line_errors():
        from ..conditions import NEUTRAL
        from ..conditions import calibrate as fit
        from ..pipelines.gate import gate_file
        from ..policy import resolve

        found = resolve(policy)
        neutral = _lines(prompts or NEUTRAL)
        if out is None and not Path(model).is_dir():
            raise ValueError(f"{model} is not a folder to keep the gate in: give --out")
        file = out or gate_file(model, found)
        gate, measured = fit(load_pipeline(model, device)._pooled, found, neutral)
        gate.save(file)
        typer.echo(
            f"clears {measured['cleared']:.0%} of {measured['neutral']:.0f} neutral prompts "
            f"and none of {measured['unsafe']:.0f} with a term of {found.id!r}, none of them seen in fitting"
        )
        typer.echo(file)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--prompts {path} can't be read: {error}") from error
