"""`dualsafe pairs`: counterfactual pairs, made, verified and written in shards."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from .bar import Bar
from .failure import FAILED, Commands, resumable
from .load import device_of, is_picto
from .options import Device, Model, NewFolder, Resume, RunFolder, command_line

pairs = typer.Typer(
    cls=Commands, rich_markup_mode=None, help="Pairs of pictures that differ only in what a policy names."
)


@pairs.command(epilog="Example: dualsafe pairs run --prompts picto:explicit --limit 100 --out out/pairs")
def run(
    context: typer.Context,
    prompts: Annotated[str, typer.Option(help="CSV, TSV, JSONL or parquet; or picto:SET (picto:explicit).")],
    out: RunFolder,
    kind: Annotated[str, typer.Option(help="counterfactual, null_edit or real_edit.")] = "counterfactual",
    editor: Annotated[str, typer.Option(help="dual, img2img, pix2pix:PATH, kontext:PATH, exact or null.")] = "dual",
    model: Model = None,
    policy: Annotated[str | None, typer.Option(help="A shipped policy's name or a YAML file.")] = None,
    pairs_per_prompt: Annotated[int, typer.Option(min=1, help="Pairs of each prompt, each from its own seed.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="So many prompts at most.")] = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Pairs of a shard, the unit of work.")] = 1000,
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 25,
    guidance_scale: Annotated[float | None, typer.Option(help="The pipeline's own; 5 for picto.")] = None,
    strength: Annotated[float, typer.Option(help="Of img2img, in (0, 1].")] = 0.6,
    captioner: Annotated[str | None, typer.Option(help="vlm:PATH or endpoint:URL:MODEL, for pictures.")] = None,
    scope: Annotated[str, typer.Option(help="all, or words: no pair of a prompt with innocent words.")] = "all",
    guard: Annotated[
        str | None, typer.Option(help="A judge that looks at half-made pictures, beside the watch.")
    ] = None,
    judge: Annotated[list[str] | None, typer.Option(help="Who verifies, once for each; two for picto.")] = None,
    threshold: Annotated[list[str] | None, typer.Option(help="NAME=VALUE of verification.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs drawn together.")] = 16,
    keep_unverified: Annotated[bool, typer.Option("--keep-unverified", help="Write those too, marked so.")] = False,
    run_id: Annotated[str, typer.Option(help="Names the draw: seeds come from it.")] = "0",
    engine: Annotated[str, typer.Option(help="local or ray.")] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine, or ray's actors.")] = 1,
    shard_range: Annotated[str | None, typer.Option(help="A:B, this machine's part of the shards; 0:0 plans.")] = None,
    resume: Resume = False,
    device: Device = None,
) -> None:
    """Makes pairs; what a stopped run has done stands, and `--resume` makes the rest."""
    from ..pairs.run import run as make
    from ..pairs.spec import PairSpec

    picto = is_picto(model)
    if not judge and not picto:
        raise ValueError("--judge is needed, twice at least: who verifies the pairs of this model?")
    given = {each.name: context.params[each.name] for each in fields(PairSpec) if each.name in context.params}
    given |= {"model": "picto" if picto else str(model), "thresholds": _thresholds(threshold or [])}
    given |= {"guidance_scale": 5.0} if guidance_scale is None and picto else {}
    spec = PairSpec(**given | ({"judges": judge} if judge else {}))
    with resumable(out), Bar("pair") as bar:
        stats = make(
            spec,
            out,
            engine=engine,
            workers=workers,
            device=device_of(device),
            shards=_range(shard_range),
            resume=resume,
            command=command_line(),
            progress=bar.show,
        )
    if stats is None:
        typer.echo("this part is done; the run is finished by whoever makes the last shard")
        return
    stages = {"jobs": stats["jobs"], **stats["stages"]}
    typer.echo(", ".join(f"{name} {count}" for name, count in stages.items()) + f", errors {stats['errors']}")
    if not stats["stages"]["written"]:
        raise RuntimeError(f"no pair was written: {out / 'stats.json'} says what was declined or rejected, and why")
    typer.echo(out / "README.md")


@pairs.command(epilog="Example: dualsafe pairs verify out/pairs")
def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.")],
    repair: Annotated[bool, typer.Option("--repair", help="Let --resume make the wrong shards again.")] = False,
) -> None:
    """Checks that every shard is whole: no pair lost, none twice, every picture as it was made."""
    from ..pairs.check import check, foreign

    for path in foreign(folder):
        typer.echo(f"{path} is not of this run, and nothing reads it: move it away")
    wrong = 0
    for index, reason in check(folder, repair):
        typer.echo(f"shard {index}: {reason}")
        wrong += 1
    next_ = "make them again" if repair else "with --repair they are made again by"
    mending = f"{wrong} shards are missing or wrong: {next_} the run's own command with --resume"
    typer.echo(mending if wrong else "every shard is whole")
    if wrong:
        raise typer.Exit(FAILED)


@pairs.command(epilog="Example: dualsafe pairs export out/pairs --format parquet --out out/table")
def export(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: NewFolder,
    format: Annotated[str, typer.Option(help="imagefolder, parquet or dpo.")] = "parquet",
) -> None:
    """Writes a run's pairs in a form that other libraries open."""
    from ..pairs.export import export as write

    write(folder, out, format)
    typer.echo(out)


def _thresholds(given: list[str]) -> dict[str, float]:
    """
    Raises:
        ValueError: not NAME=VALUE, or not a number.
    """
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise ValueError(f"--threshold {text} must be NAME=NUMBER") from error
    return found


def _range(text: str | None) -> range | None:
    """
    Raises:
        ValueError: not A:B.
    """
    if text is None:
        return None
    start, colon, stop = text.partition(":")
    if not colon or not (start.isdecimal() and stop.isdecimal()) or int(start) > int(stop):
        raise ValueError(f"--shard-range {text} must be A:B, the first shard and the one after the last")
    return range(int(start), int(stop))
