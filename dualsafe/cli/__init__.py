"""The `dualsafe` command: one file a subcommand, thin: parse, call, print."""

from __future__ import annotations

import typer

from .bench import bench
from .calibrate import calibrate
from .generate import generate
from .policy import policies

app = typer.Typer(
    name="dualsafe",
    help="Safe text-to-image generation in latent space.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(generate)
app.command()(calibrate)
app.add_typer(policies, name="policy")
app.add_typer(bench, name="bench")
