"""How a command fails: one line on stderr, exit 2 for bad arguments, 1 for a failure while running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

BAD_ARGUMENTS, FAILED, INTERRUPTED = 2, 1, 130


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns the library's errors into exit codes."""
    try:
        yield
    except ValueError as error:
        raise _exit(error, BAD_ARGUMENTS) from error
    except (RuntimeError, OSError, ImportError) as error:
        raise _exit(error, FAILED) from error


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Lets Ctrl-C end a long command cleanly: what it has done is in `out`."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"\nstopped; what is done is in {out}: go on with --resume", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _exit(error: Exception, code: int) -> typer.Exit:
    typer.echo(f"dualsafe: {' '.join(str(error).split()) or type(error).__name__}", err=True)
    return typer.Exit(code)
