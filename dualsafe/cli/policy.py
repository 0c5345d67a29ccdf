"""`dualsafe policy`: list, show and check policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .failure import Commands

policies = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Policies: what is unsafe, and what may stand in for it.",
)


@policies.command("ls", epilog="Example: dualsafe policy ls")
def list_policies() -> None:
    """Lists the shipped policies."""
    from ..policy import SHIPPED, resolve

    for name in SHIPPED:
        policy = resolve(name)
        typer.echo(f"{name}  version {policy.version}  {policy.hash}  {policy.description}")


@policies.command(epilog="Example: dualsafe policy show i2p")
def show(policy: Annotated[str, typer.Argument(help="A shipped policy's name or a YAML file.")]) -> None:
    """Shows a policy's categories, concepts and exceptions."""
    from ..policy import resolve

    found = resolve(policy)
    typer.echo(f"{found.id}  version {found.version}  {found.hash}\n{found.description}")
    for name, category in found.categories.items():
        level = "" if category.level is None else f"  level {category.level}"
        typer.echo(f"\n{name}{level}{'  blocked' if category.block else ''}: {category.description}")
        for concept in category.concepts:
            typer.echo(f"  {', '.join(concept.terms)} -> {concept.counterpart or '(removed)'}")
        if category.exceptions:
            typer.echo(f"  except: {', '.join(category.exceptions)}")


@policies.command(epilog="Example: dualsafe policy validate my_policy.yaml")
def validate(file: Annotated[Path, typer.Argument(help="A policy's YAML file.")]) -> None:
    """Checks a policy file; exit 2 says what is wrong with it."""
    from ..policy import Policy

    policy = Policy.from_file(file)
    typer.echo(f"{file} is policy {policy.id!r}, version {policy.version}, hash {policy.hash}")
