"""The `dualsafe` command: one file a subcommand, thin: parse, call, print."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from .. import __version__
from .bench import bench
from .calibrate import calibrate
from .check import check
from .demo import demo
from .failure import Commands
from .generate import generate
from .guard import guard
from .guard_train import train
from .pairs import pairs
from .policy import policies
from .serve import serve


class _App(typer.Typer):
    """Prints a help page itself: typer parses what stands before `--help`, and imports pydantic for it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or "--help" not in sys.argv[1:]:
            return super().__call__(*args, **kwargs)
        command: Any = typer.main.get_command(self)
        context = command.context_class(command, info_name="dualsafe")
        for word in sys.argv[1 : sys.argv.index("--help")]:
            if (inner := getattr(command, "commands", {}).get(word)) is None:
                break
            command, context = inner, inner.context_class(inner, info_name=word, parent=context)
        typer.echo(command.get_help(context))


app = _App(
    name="dualsafe",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich takes longer than all the rest of a help page
    epilog='Example: dualsafe generate "a man with a knife in a park" --pair --seed 7 --out out',
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dualsafe {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Safe text-to-image generation in latent space. Exit codes: 0 done, 1 failed, 2 bad arguments, 130 stopped."""


app.command(epilog='Example: dualsafe generate "a man with a knife in a park" --pair --seed 7 --out out')(generate)
app.command(epilog="Example: dualsafe check ./my-checkpoint --out out/check")(check)
app.command(epilog="Example: dualsafe demo --verify")(demo)
app.command(epilog="Example: dualsafe serve --preview picto-guard --verify picto-guard")(serve)
app.command(epilog="Example: dualsafe calibrate ./my-checkpoint --prompts benign.txt")(calibrate)
app.add_typer(policies, name="policy")
app.add_typer(bench, name="bench")
app.add_typer(pairs, name="pairs")
guard.command(epilog="Example: dualsafe guard train out/pairs --null out/pairs-null --out out/guard")(train)
app.add_typer(guard, name="guard")
