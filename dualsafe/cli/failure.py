"""How a command fails: one line on stderr, exit 2 for bad arguments, 1 for a failure while running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

BAD_ARGUMENTS, FAILED = 2, 1


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns the library's errors into exit codes."""
    try:
        yield
    except ValueError as error:
        raise _exit(error, BAD_ARGUMENTS) from error
    except (RuntimeError, OSError, ImportError) as error:
        raise _exit(error, FAILED) from error


def _exit(error: Exception, code: int) -> typer.Exit:
    typer.echo(f"dualsafe: {' '.join(str(error).split()) or type(error).__name__}", err=True)
    return typer.Exit(code)
