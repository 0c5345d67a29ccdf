"""What every command says of itself, and its exit codes."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from dualsafe import __version__
from dualsafe.cli import app
from dualsafe.cli.failure import one_line_errors, resumable


def commands(command=None, path=()):
    """Every command, (words, command)."""
    command = command or typer.main.get_command(app)
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))
    if not hasattr(command, "commands"):
        yield path, command


ALL = dict(commands())
HEAVY = {"torch", "diffusers", "transformers", "numpy", "pydantic", "rich", "yaml", "PIL", "ray"}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_is_explained_and_every_command_has_an_example(path):
    for parameter in ALL[path].params:
        if parameter.name != "help":
            assert len(getattr(parameter, "help", None) or "") > 8, parameter.name
    page = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
    assert page.exit_code == 0 and f"Example: dualsafe {' '.join(path)}" in page.output


def test_the_version_is_told():
    for arguments in (["--version"], ["--version", "generate"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0 and result.output == f"dualsafe {__version__}\n"


@pytest.mark.parametrize("path", [[], ["serve"], ["pairs", "run"]], ids=" ".join)
def test_neither_a_help_page_nor_the_package_imports_what_takes_long(path):
    script = (
        "import sys; sys.argv = ['dualsafe', *{path}, '--help']; from dualsafe.cli import app; app(); "
        "print(sorted({heavy!r} & sys.modules.keys()))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script.format(path=path, heavy=HEAVY)], capture_output=True, text=True, check=True
    )
    *page, imported = said.stdout.splitlines()
    assert imported == "[]" and " ".join(["Usage: dualsafe", *path]) in page[0]
    parsed = CliRunner().invoke(app, [*path, "--help"], prog_name="dualsafe").output
    assert re.findall(r"--[a-z-]+", "".join(page)) == re.findall(r"--[a-z-]+", parsed)


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (ValueError("n=0: no"), 2, "dualsafe: n=0: no\n"),
        (RuntimeError("broken\nhere"), 1, "dualsafe: broken here\n"),
        (OSError(28, "No space left on device"), 1, "No space left"),
        (KeyboardInterrupt(), 130, "dualsafe: stopped\n"),
        (typer.Exit(1), 1, ""),
    ],
)
def test_exit_codes(raised, code, said, capsys):
    with pytest.raises(typer.Exit) as caught, one_line_errors():
        raise raised
    err = capsys.readouterr().err
    assert caught.value.exit_code == code and (said in err if said else not err)


def test_a_long_command_that_is_stopped_says_how_to_go_on(tmp_path, capsys):
    with pytest.raises(typer.Exit) as caught, one_line_errors(), resumable(tmp_path):
        raise KeyboardInterrupt
    said = capsys.readouterr().err
    assert caught.value.exit_code == 130 and "--resume" in said and "dualsafe:" not in said
