"""`dualsafe guard`: judges graded on counterfactual pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .bar import Bar
from .failure import Commands, resumable
from .load import device_of
from .options import Device, Resume, RunFolder, command_line

guard = typer.Typer(
    cls=Commands, no_args_is_help=True, rich_markup_mode=None, help="Guards: graded on counterfactual pairs."
)


@guard.command("eval", epilog="Example: dualsafe guard eval out/pairs --split test --judges picto --out out/board")
def evaluate(
    pairs: Annotated[list[Path], typer.Argument(metavar="PAIRS...", help="Folders of pair runs.")],
    judges: Annotated[list[str], typer.Option(help="Who is graded; once for each.")],
    out: RunFolder,
    split: Annotated[str | None, typer.Option(help="Only pairs of train, validation or test.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Pairs of each folder.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs that a judge is asked about at a time.")] = 64,
    resume: Resume = False,
    device: Device = None,
) -> None:
    """Asks judges about both sides of pairs; writes samples.jsonl, results.json, leaderboard.md and report.html."""
    from ..guard.evaluate import evaluate as grade
    from ..guard.report import write_report

    with resumable(out), Bar("pair") as bar:
        given = pairs, judges, out, limit, resume, batch_size, command_line(), bar.show
        results = grade(*given, split=split, device=device_of(device))
    write_report(out, results=results)
    typer.echo((out / "leaderboard.md").read_text(encoding="utf-8"))
    typer.echo(out / "report.html")


@guard.command(epilog="Example: dualsafe guard policies test.parquet --judges llavaguard:PATH --out out/policies")
def policies(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Tables of labelled pictures.")],
    judges: Annotated[list[str], typer.Option(help="Who is graded; once for each.")],
    out: RunFolder,
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures of each file.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures that a judge is asked about at a time.")] = 64,
    resume: Resume = False,
    device: Device = None,
) -> None:
    """Grades judges on labelled pictures, a board a policy: SafeEditBench, UnsafeBench, LlavaGuard, CoProV2."""
    from ..guard.policies import grade
    from ..judges import load_judge

    with resumable(out), Bar("picture") as bar:
        loaded = [load_judge(spec, device_of(device)) for spec in judges]
        grade(files, loaded, out, limit, resume, batch_size, command_line(), lambda done: bar.show(done, None))
    typer.echo((out / "leaderboard.md").read_text(encoding="utf-8"))


@guard.command(epilog="Example: dualsafe guard report out/board")
def report(folder: Annotated[Path, typer.Argument(help="Folder of a run of `guard eval`.")]) -> None:
    """Scores a run again and draws its report, without a judge."""
    from ..guard.report import write_report

    write_report(folder)
    typer.echo(folder / "report.html")
