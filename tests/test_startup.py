"""A start pays for what it uses: neither the package nor the command's help imports what draws pictures."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "diffusers", "transformers", "PIL", "gradio", "fastapi", "ray"}


@pytest.mark.parametrize(
    "code",
    [
        "import dualsafe",
        "from typer.testing import CliRunner; from dualsafe.cli import app; print(CliRunner().invoke(app, ['--help']))",
    ],
    ids=["import", "help"],
)
def test_a_start_leaves_the_heavy_packages_alone(code):
    ask = f"{code}; import sys; print('loaded:', *(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "loaded:"
