"""What several commands take, worded once, and the command as it was typed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .failure import folder_of

Device = Annotated[str | None, typer.Option(help="Torch device; the GPU if there is one.")]
Model = Annotated[str | None, typer.Option(help="Checkpoint in the diffusers layout; the bundled picto.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")]


def folder(words: str) -> Any:
    """An option that names a folder to write to."""
    return typer.Option(parser=folder_of, metavar="FOLDER", help=words)


RunFolder = Annotated[Path, folder("Folder of this run.")]
NewFolder = Annotated[Path, folder("A new folder.")]


def command_line() -> str:
    """The command as a shell takes it."""
    return shlex.join(["dualsafe", *sys.argv[1:]])
