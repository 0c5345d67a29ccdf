"""`dualsafe guard`: judges graded on counterfactual pairs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from .bar import Bar
from .failure import folder_of, one_line_errors, resumable
from .load import device_of

guard = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Guards: graded on counterfactual pairs.")


@guard.command("eval", epilog="Example: dualsafe guard eval out/pairs --split test --judges picto --out out/board")
def evaluate(
    pairs: Annotated[list[Path], typer.Argument(metavar="PAIRS...", help="Folders of pair runs.")],
    judges: Annotated[list[str], typer.Option(help="Who is graded; once for each.")],
    out: Annotated[Path, typer.Option(parser=folder_of, metavar="FOLDER", help="Folder of this run.")],
    split: Annotated[str | None, typer.Option(help="Only pairs of train, validation or test.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Pairs of each folder.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs that a judge is asked about at a time.")] = 64,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    device: Annotated[str | None, typer.Option(help="Torch device; the GPU if there is one.")] = None,
) -> None:
    """Asks judges about both sides of pairs; writes samples.jsonl, results.json, leaderboard.md and report.html."""
    with one_line_errors():
        from ..guard.evaluate import evaluate as grade
        from ..guard.report import write_report

        command = shlex.join(["dualsafe", *sys.argv[1:]])
        with resumable(out), Bar("pair") as bar:
            given = pairs, judges, out, limit, resume, batch_size, command, bar.show
            results = grade(*given, split=split, device=device_of(device))
        write_report(out, results=results)
        typer.echo((out / "leaderboard.md").read_text(encoding="utf-8"))
        typer.echo(out / "report.html")


@guard.command(epilog="Example: dualsafe guard policies test.parquet --judges llavaguard:PATH --out out/policies")
def policies(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Tables of labelled pictures.")],
    judges: Annotated[list[str], typer.Option(help="Who is graded; once for each.")],
    out: Annotated[Path, typer.Option(parser=folder_of, metavar="FOLDER", help="Folder of this run.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures of each file.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures that a judge is asked about at a time.")] = 64,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    device: Annotated[str | None, typer.Option(help="Torch device; the GPU if there is one.")] = None,
) -> None:
    """Grades judges on labelled pictures, a board a policy: SafeEditBench, UnsafeBench, LlavaGuard, CoProV2."""
    with one_line_errors():
        from ..guard.policies import grade
        from ..judges import load_judge

        command = shlex.join(["dualsafe", *sys.argv[1:]])
        with resumable(out), Bar("picture") as bar:
            loaded = [load_judge(spec, device_of(device)) for spec in judges]
            grade(files, loaded, out, limit, resume, batch_size, command, lambda done: bar.show(done, None))
        typer.echo((out / "leaderboard.md").read_text(encoding="utf-8"))


@guard.command(epilog="Example: dualsafe guard report out/board")
def report(folder: Annotated[Path, typer.Argument(help="Folder of a run of `guard eval`.")]) -> None:
    """Scores a run again and draws its report, without a judge."""
    with one_line_errors():
        from ..guard.report import write_report

        write_report(folder)
        typer.echo(folder / "report.html")


@guard.command(epilog="Example: dualsafe guard export out/pairs --dpo --out out/preferences")
def export(
    pairs: Annotated[Path, typer.Argument(help="Folder of a finished pair run.")],
    out: Annotated[Path, typer.Option(parser=folder_of, metavar="FOLDER", help="A new folder.")],
    dpo: Annotated[bool, typer.Option("--dpo", help="Preferences, as Diffusion-DPO trains on.")] = False,
) -> None:
    """Writes pairs for training elsewhere: parquet with both sides and labels, or preferences."""
    with one_line_errors():
        from ..pairs.export import export as write

        write(pairs, out, "dpo" if dpo else "parquet")
        typer.echo(out)
