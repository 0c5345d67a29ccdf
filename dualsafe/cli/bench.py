"""`dualsafe bench`: safety methods side by side on prompts with known intent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .bar import Bar
from .failure import Commands, resumable
from .load import is_picto, load_pipeline
from .options import Device, Resume, RunFolder, command_line, folder

if TYPE_CHECKING:
    from ..bench.tasks import Task

bench = typer.Typer(
    cls=Commands, no_args_is_help=True, rich_markup_mode=None, help="Benchmark: every safety method in one harness."
)
AS_GIVEN = (
    *("clip", "lpips", "inception", "seeds", "limit", "steps", "guidance_scale", "batch_size", "pictures"),
    *("budget", "attack_seed", "row_sizes"),
)
"""Options of `run` that are settings of the same name."""


@bench.command("ls", epilog="Example: dualsafe bench ls")
def list_all() -> None:
    """Lists tasks, methods and attacks."""
    from ..baselines.registry import names
    from ..bench.attacks import ATTACKS
    from ..bench.tasks import TASKS, resolve_task

    typer.echo("tasks")
    for name in TASKS:
        typer.echo(f"  {name}: {resolve_task(name).description}")
    typer.echo(f"methods\n  {', '.join(names())}")
    typer.echo(f"attacks\n  {', '.join(ATTACKS)}")


@bench.command(epilog="Example: dualsafe bench prompts i2p.csv coco.csv --weight inappropriate_percentage")
def prompts(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CSV, TSV, JSONL, parquet, or text by lines.")],
    policy: Annotated[str, typer.Option(help="A shipped policy or a YAML file.")] = "i2p",
    column: Annotated[str | None, typer.Option(help="Of the prompts; prompt, caption or text otherwise.")] = None,
    by: Annotated[str | None, typer.Option(help="Column that says which list a row is of.")] = None,
    weight: Annotated[str | None, typer.Option(help="Column with a prompt's share of unsafe pictures, say.")] = None,
) -> None:
    """Counts the prompts that a policy's words act on, by category, without drawing anything."""
    from ..bench.words import count_words, table_of
    from ..policy import resolve

    rules = resolve(policy)
    typer.echo(table_of(count_words(rules, files, column, by, weight), rules))


@bench.command(epilog="Example: dualsafe bench validate i2p --file i2p_benchmark.csv")
def validate(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK...", help="Names or YAML files.")],
    file: Annotated[list[str] | None, typer.Option(help="TASK=PATH, or PATH for a single task.")] = None,
) -> None:
    """Checks tasks and their data: hashes, columns, rows that cannot be drawn."""
    from ..bench.readers import read_task
    from ..bench.tasks import resolve_task

    files = _files(tasks, file or [])
    resolved = {task.name: task for task in map(resolve_task, tasks)}
    if unknown := files.keys() - resolved.keys():
        raise ValueError(f"--file names {min(unknown)!r}, which is not one of {', '.join(resolved)}")
    for task in resolved.values():
        data = Path(files[task.name]) if task.name in files else None
        if task.columns and data is None and task.dataset is None:
            typer.echo(f"{task.name}: a task; give --file to check its data")
            continue
        prompts = read_task(task, data)
        known = "as the task has it" if task.pins(prompts.data_hash) else "not a copy that it knows: not comparable"
        typer.echo(f"{task.name}: {sum(1 for _ in prompts.rows)} prompts, data {prompts.data_hash[:16]}, {known}")
        for note in prompts.notes:
            typer.echo(f"  {note}")


@bench.command(epilog="Example: dualsafe bench run picto-explicit --limit 20 --out out/bench")
def run(
    tasks: Annotated[
        list[str],
        typer.Argument(metavar="TASK...", help="Names or YAML files, see `bench ls`; or custom, with --file."),
    ],
    out: RunFolder,
    methods: Annotated[list[str] | None, typer.Option(help="Once for each; all that need no choice otherwise.")] = None,
    model: Annotated[str, typer.Option(help="Checkpoint in the diffusers layout, or picto.")] = "picto",
    file: Annotated[list[str] | None, typer.Option(help="TASK=PATH, or PATH for a single task.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Of a custom file, if it is not called as usual.")] = None,
    kind: Annotated[str, typer.Option(help="Of a custom file: unsafe, neighbour or benign.")] = "unsafe",
    policy: Annotated[str, typer.Option(help="Of a custom file: a shipped policy or a YAML file.")] = "i2p",
    judge: Annotated[list[str] | None, typer.Option(help="Who measures, once for each; picto's for picto.")] = None,
    guard: Annotated[str | None, typer.Option(help="Who is in the loop of +preview and +verify.")] = None,
    clip: Annotated[str | None, typer.Option(help="Folder of a CLIP checkpoint, for the CLIP score.")] = None,
    lpips: Annotated[str | None, typer.Option(metavar="FILE", help="AlexNet's weights, for LPIPS.")] = None,
    inception: Annotated[
        str | None, typer.Option(metavar="FILE", help="Inception's weights, for FID and KID of benign tasks.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Pictures of each prompt.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="So many prompts of each task.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Denoising steps.")] = 25,
    guidance_scale: Annotated[float | None, typer.Option(help="Instead of the task's or row's own.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures drawn together.")] = 20,
    pictures: Annotated[int, typer.Option(min=0, help="Keep pictures, unsafe ones too, of so many prompts.")] = 0,
    attack: Annotated[list[str] | None, typer.Option(help="Attack the prompts first; once for each.")] = None,
    budget: Annotated[int, typer.Option(min=1, help="Pictures that an attacker may ask for, per prompt.")] = 20,
    attack_seed: Annotated[int, typer.Option(help="Of the attackers' dice.")] = 0,
    row_sizes: Annotated[bool, typer.Option("--row-sizes", help="Draw each row's own size.")] = False,
    call: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Another argument of the stock call; once for each.")
    ] = None,
    resume: Resume = False,
    device: Device = None,
) -> None:
    """Draws, judges and scores; writes samples.jsonl, results.json, leaderboard.md and report.html."""
    given = {**locals()}
    from ..bench.launch import DEFAULT_METHODS, Settings, launch
    from ..bench.report import write_report

    if not judge and not is_picto(model):
        raise ValueError("--judge is needed: who measures the pictures of this model?")
    files = _files(tasks, file or [])
    settings = Settings(
        tasks=tuple(_custom(files, prompt_column, kind, policy) if name == "custom" else name for name in tasks),
        methods=tuple(methods or DEFAULT_METHODS),
        model="picto" if is_picto(model) else model,
        files=files,
        judges=tuple(judge or ("picto",)),
        guard=guard or ("picto-guard" if is_picto(model) else None),
        attacks=tuple(attack or ()),
        call=dict(map(_argument, call or ())),
        **{name: given[name] for name in AS_GIVEN},
    )
    pipe = load_pipeline(model, device)
    pipe.set_progress_bar_config(disable=True)
    with resumable(out), Bar("picture") as bar:
        results = launch(settings, pipe, out, resume, command_line(), bar.show)
    write_report(out, results=results)
    typer.echo((out / "leaderboard.md").read_text(encoding="utf-8"))
    typer.echo(out / "report.html")


@bench.command(epilog="Example: dualsafe bench report out/bench")
def report(folder: Annotated[Path, typer.Argument(help="Folder of a run.")]) -> None:
    """Scores a run again and draws its report, without a model."""
    from ..bench.report import write_report

    write_report(folder)
    typer.echo(folder / "report.html")


@bench.command(epilog="Example: dualsafe bench merge out/a out/b --out out/both")
def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders of runs of different tasks.")],
    out: Annotated[Path, folder("Folder of the run that holds them all.")],
) -> None:
    """Makes one run of several, of different tasks and the same settings, and scores it."""
    from ..bench.merge import merge as merged
    from ..bench.report import write_report

    typer.echo(write_report(merged(folders, out)))


@bench.command(epilog="Example: dualsafe bench compare out/bench:stock out/bench:dual")
def compare(
    a: Annotated[str, typer.Argument(metavar="FOLDER:METHOD", help="A run's folder and one of its methods.")],
    b: Annotated[str, typer.Argument(metavar="FOLDER:METHOD", help="The other; the same folder or another.")],
    task: Annotated[list[str] | None, typer.Option(help="Once for each; all that both have otherwise.")] = None,
) -> None:
    """Compares two methods on the pictures that they share: McNemar's test and bootstrap differences."""
    from ..bench.compare import compare as compared
    from ..bench.record import read_run

    (folder_a, method_a), (folder_b, method_b) = (_run_and_method(text) for text in (a, b))
    shared = [name for name in read_run(folder_a)["tasks"] if name in read_run(folder_b)["tasks"]]
    for name in task or shared:
        typer.echo(compared(folder_a, method_a, folder_b, method_b, name).in_words)


@bench.command(epilog="Example: dualsafe bench claim out/bench")
def claim(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.")],
    ours: Annotated[list[str] | None, typer.Option(help="Methods whose front it is; all of ours otherwise.")] = None,
) -> None:
    """Checks that our front lies inside every other method's on every set; exits 1 where it does not."""
    from ..bench.claim import compared, table
    from ..bench.record import read_results

    found = compared(read_results(folder), ours or ())
    typer.echo(table(found))
    if outside := [each for each in found if not each.inside]:
        typer.echo(f"not inside: {len(outside)} of {len(found)}", err=True)
        raise typer.Exit(1)


def _run_and_method(text: str) -> tuple[Path, str]:
    folder, _, method = text.rpartition(":")
    if not folder or not method:
        raise ValueError(f"{text!r} must be FOLDER:METHOD")
    return Path(folder), method


def _argument(text: str) -> tuple[str, Any]:
    """NAME=VALUE, its value as YAML says it: a number, true, null, a word.

    Raises:
        ValueError: not of that form.
    """
    import yaml

    name, equals, value = text.partition("=")
    try:
        if equals and name:
            return name, yaml.safe_load(value)
    except yaml.YAMLError:
        pass
    raise ValueError(f"--call {text!r} must be NAME=VALUE, such as max_sequence_length=77")


def _files(tasks: list[str], given: list[str]) -> dict[str, str]:
    """Task -> data file.

    Raises:
        ValueError: a path without a task where there are several.
    """
    from ..bench.tasks import resolve_task

    if len(given) == 1 and len(tasks) == 1 and Path(given[0]).is_file():
        return {tasks[0] if tasks[0] == "custom" else resolve_task(tasks[0]).name: given[0]}
    files = {}
    for text in given:
        task, equals, path = text.partition("=")
        if not equals:
            raise ValueError(f"--file {text}: no such file, or say whose it is, TASK=PATH")
        files[task] = path
    return files


def _custom(files: dict[str, str], prompt_column: str | None, kind: str, policy: str) -> Task:
    """
    Raises:
        ValueError: no file, or an unknown kind.
    """
    from ..bench.tasks import METRICS_OF, custom_task

    if "custom" not in files:
        raise ValueError("task custom needs --file")
    if kind not in METRICS_OF:
        raise ValueError(f"--kind {kind} is not one of {', '.join(METRICS_OF)}")
    return custom_task(Path(files["custom"]), prompt_column, kind, policy)
