"""The `dualsafe` command: one file a subcommand, thin: parse, call, print."""

from __future__ import annotations

import typer

from .bench import bench
from .demo import demo
from .generate import generate
from .guard import guard
from .guard_train import train
from .pairs import pairs
from .policy import policies
from .serve import serve

app = typer.Typer(
    name="dualsafe",
    help="Safe text-to-image generation in latent space.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(generate)
app.command()(demo)
app.command()(serve)
app.add_typer(policies, name="policy")
app.add_typer(bench, name="bench")
app.add_typer(pairs, name="pairs")
guard.command()(train)
app.add_typer(guard, name="guard")
