"""The documentation: its code runs, its commands exist, its links lead somewhere, and it builds without a warning."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml

from dualsafe import PICTO, DualLatentPipeline
from dualsafe.cli import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = {str(path.relative_to(ROOT)): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FOREIGN = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>")


def blocks(name: str, language: str) -> list[str]:
    """The code blocks of a page; one that cannot run here is fenced as { .python .no-run }."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXTS[name], re.DOTALL | re.MULTILINE)


RUN = [name for name in PAGES if name.startswith("docs/") and blocks(name, "python")]
DRAWN_ELSEWHERE = {"docs/quickstart.md"}  # by the examples of the same names, at every commit


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in DRAWN_ELSEWHERE else []) for name in RUN]
)
def test_the_python_of_a_page_runs_from_top_to_bottom(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in blocks(name, "yaml"):
        Path(f"{yaml.safe_load(text)['id']}.yaml").write_text(text, encoding="utf-8")
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(name, "python"):
        exec(compile(block, name, "exec"), names)


def commands(name: str) -> Iterator[list[str]]:
    """The words after each `dualsafe` in a page's shell blocks and inline code."""
    for block in blocks(name, "sh"):
        text = block.replace("\\\n", " ").replace("$(which dualsafe)", "dualsafe")
        for variable, value in re.findall(r'^(\w+)="(.*)"$', block, re.MULTILINE):
            text = text.replace(f"${variable}", value)
        for words in (shlex.split(line, comments=True) for line in text.splitlines()):
            if "dualsafe" in words:
                yield words[words.index("dualsafe") + 1 :]
    for inline in re.findall(r"`dualsafe ([^`]+)`", FENCED.sub("", TEXTS[name])):
        yield inline.split()


@pytest.fixture(scope="module")
def root() -> Any:
    return typer.main.get_command(app)


@pytest.mark.parametrize("name", [name for name in PAGES if list(commands(name))])
def test_every_command_and_option_of_a_page_exists(name, root):
    for words in commands(name):
        command = root
        while hasattr(command, "commands") and words:
            assert words[0] in command.commands, words
            command, words = command.commands[words[0]], words[1:]
        known = {"--help", *(option for each in command.params for option in (*each.opts, *each.secondary_opts))}
        asked = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert asked <= known, (command.name, asked - known)


def test_every_extra_that_is_to_be_installed_exists():
    known = set(metadata("dualsafe").get_all("Provides-Extra"))
    asked = [
        extra
        for text in TEXTS.values()
        for found in re.findall(r"dualsafe\[([\w,]+)\]", text)
        for extra in found.split(",")
    ]
    assert asked and set(asked) <= known


def test_every_script_that_is_to_be_run_exists():
    asked = [
        path for text in TEXTS.values() for path in re.findall(r"python ((?:benchmarks|docs|examples)/\w+\.py)", text)
    ]
    assert asked and not [path for path in asked if not (ROOT / path).is_file()]


@pytest.mark.parametrize("name", PAGES)
def test_every_link_and_picture_of_a_page_exists(name):
    text = FENCED.sub("", TEXTS[name])
    links = [link for link in LINK.findall(text) if not link.startswith(("http://", "https://", "#"))]
    assert not [link for link in links if not (PAGES[name].parent / link.partition("#")[0]).exists()]


def test_the_stages_that_are_drawn_are_those_of_the_pipeline(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import inside

    pipe, prompt = DualLatentPipeline.from_pretrained(PICTO), "a woman in green holding a bomb in a park"
    short = {"num_inference_steps": 10}
    steps, output = inside.trace(pipe, prompt, 7, output_type="latent", **short)
    assert torch.equal(steps[-1].mask, output.masks)
    computed = inside.computed(pipe, prompt, 7, return_pair=True, **short)
    assert 2 * sum(original + safe for _, original, safe in computed) == output.safety[0].denoiser_rows


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    for module in ("mkdocs", "material", "mkdocstrings_handlers.python"):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install 'dualsafe[docs]'")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        build, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    foreign = {tag for page in pages for tag in FOREIGN.findall(page.read_text(encoding="utf-8"))}
    assert len(pages) >= len(PAGES) and not foreign
    told = re.findall(r"^- \[.+?\]\((\S+)\)", (tmp_path / "llms.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(told) == len(PAGES) - 1 and all((tmp_path / page).is_file() for page in told)  # but for the README
