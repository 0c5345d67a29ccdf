"""How a command ends: 0 done, 1 a failure while running, 2 bad arguments, 130 stopped; one line on stderr says why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

BAD_ARGUMENTS, FAILED, INTERRUPTED = 2, 1, 130


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns the library's errors, and Ctrl-C, into exit codes."""
    try:
        yield
    except typer.Exit:  # which is a RuntimeError
        raise
    except ValueError as error:
        raise _exit(error, BAD_ARGUMENTS) from error
    except (RuntimeError, OSError, ImportError) as error:
        raise _exit(error, FAILED) from error
    except KeyboardInterrupt:
        typer.echo("dualsafe: stopped", err=True)
        raise typer.Exit(INTERRUPTED) from None


class Commands(TyperGroup):
    """Commands that end so."""

    def invoke(self, ctx: Any) -> Any:
        with one_line_errors():
            return super().invoke(ctx)


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Lets Ctrl-C end a long command cleanly: what it has done is in `out`."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\nstopped; what is done is in {out}: go on with --resume", err=True)
        raise typer.Exit(INTERRUPTED) from None


def folder_of(given: str | Path) -> Path:
    """A parser of options that name a folder to write to.

    Raises:
        typer.BadParameter: no name, or a file's.
    """
    if not str(given).strip():
        raise typer.BadParameter("it is empty: name a folder")
    if Path(given).exists() and not Path(given).is_dir():
        raise typer.BadParameter(f"{given} is a file, not a folder")
    return Path(given)


def _exit(error: Exception, code: int) -> typer.Exit:
    typer.echo(f"dualsafe: {' '.join(str(error).split()) or type(error).__name__}", err=True)
    return typer.Exit(code)
