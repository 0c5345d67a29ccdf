"""`docker compose up`: what the files start is what the command takes, and nothing of it is open to the world."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
import yaml
from test_cli_help import ALL

from dualsafe.cli import app
from dualsafe.serve.access import is_local

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_command_takes_what_compose_gives_it():
    serve = typer.main.get_command(app).commands["serve"]
    name, *arguments = COMPOSE["services"]["dualsafe"]["command"]
    given = serve.make_context("serve", arguments).params
    assert name == "serve" and given["host"] == "0.0.0.0" and given["verify"] == "picto-guard"
    grace = int(COMPOSE["services"]["dualsafe"]["stop_grace_period"].removesuffix("s"))
    assert grace > given["drain"] + 2


def options(path: tuple[str, ...]) -> set[str]:
    return {name for each in ALL[path].params for name in (*each.opts, *each.secondary_opts)} | {"--help"}


def calls(text: str) -> list[tuple[tuple[str, ...], list[str]]]:
    """Every call of the command in a text: which one, and the options that it is given."""
    found = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        for said in re.findall(r"(?:^|[\s/`])dualsafe ((?:[a-z-]+ ?)+.*)", line):
            words = re.split(r"[`#]| \|", said)[0].split()
            path = next((tuple(words[:n]) for n in (1, 2) if tuple(words[:n]) in ALL), None)
            if path is not None:
                found.append((path, [word.split("=")[0] for word in words if word.startswith("--")]))
    return found


GUIDES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.sh"), ROOT / "README.md", ROOT / "Makefile"])


@pytest.mark.parametrize("file", GUIDES, ids=lambda file: file.name)
def test_documents_call_the_command_with_options_that_it_has(file):
    for path, given in calls(file.read_text("utf-8")):
        assert set(given) <= options(path), (path, given)


def test_options_that_guides_speak_of_exist():
    every = set().union(*map(options, ALL))
    for name in ("serve", "app", "pairs", "guard", "levels"):
        spoken = re.findall(r"`(--[a-z][a-z-]+)", (ROOT / f"docs/{name}.md").read_text("utf-8"))
        assert set(spoken) <= every, name
    assert len(calls((ROOT / "docs/serve.md").read_text("utf-8"))) >= 4


def test_the_image_starts_the_service_with_options_that_it_has():
    name, *given = json.loads(re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)[-1])
    typer.main.get_command(app).commands[name].make_context(name, given)


def test_nothing_is_open_to_the_world():
    for name, service in COMPOSE["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert re.search(r"^USER \d+$", DOCKERFILE, re.MULTILINE)


def test_prometheus_asks_a_host_that_the_service_answers_for():
    scrape = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())["scrape_configs"][0]
    (target,) = scrape["static_configs"][0]["targets"]
    assert target.split(":")[0] in COMPOSE["services"]
    assert is_local(target)


def test_what_the_image_copies_is_there_and_sent():
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in DOCKERFILE.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists() and source in sent, source
