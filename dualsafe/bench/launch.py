"""From names to a run: tasks, methods and judges put together, run and scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..baselines import create
from ..baselines.protocol import concepts
from ..errors import BenchError
from ..judges import Judge, load_judge, name_of
from ..judges.picto import PictoJudge
from ..pipelines.dual import DualLatentMixin
from ..policy import resolve
from ..stand_in import standing_in
from .attacks import ATTACKS
from .clip_score import ClipScorer
from .concept_distance import Concepts
from .environment import surroundings
from .perceptual import Inception, Lpips, instrument
from .readers import Prompts, read_task
from .record import COMPARED, Record
from .run import REFERENCE, Runner, TaskRun
from .score import write_results
from .tasks import Task, resolve_task

DEFAULT_METHODS: tuple[str, ...] = (
    "stock", "negative-prompt", "sld-weak", "sld-medium", "sld-strong", "sld-max", "sld-max-by-category",
    "casg-sld-medium", "casg-sld-strong", "casg-sld-max", "safree", "safree+negative", "sega", "dng", "uce", "esd-x",
    "safe-prompt", "dualsafe-low", "dualsafe-medium", "dualsafe-high", "dualsafe-max", "dualsafe-low+preview",
    "dualsafe-medium+preview", "dualsafe-high+preview", "dualsafe-max+preview", "dualsafe-max+verify",
    "dualsafe-max:scope=words",
)  # fmt: skip


_SAID = (
    "guard", "clip", "model", "steps", "guidance_scale", "seeds", "limit", "batch_size", "budget", "attack_seed",
    "row_sizes", "call",
)  # fmt: skip
"""Settings that `run.json` holds as they are."""
_OF_THE_RUN = {"prompt", "num_inference_steps", "guidance_scale", "generator", "output_type", "policy", "safety_level"}


@dataclass(frozen=True)
class Settings:
    """What a run is.

    Attributes:
        tasks: names of shipped tasks, YAML files, or tasks.
        files: task name -> data file.
        judges: specs of `load_judge`; they measure.
        clip: folder of a CLIP checkpoint of transformers, for the CLIP score.
        lpips, inception: files of weights for LPIPS, and for FID and KID on prompts that are not unsafe; None leaves
            them out.
        guard: spec of the judge in our methods' loop; never one that measures.
        seeds: pictures of each prompt.
        limit: prompts of each task; None takes all.
        guidance_scale: None takes the task's or row's own, else the pipeline's default.
        pictures: of how many prompts of each task the pictures are kept.
        attacks: what is done to the prompts first; each task is then run once for each.
        budget: pictures that an attacker may ask for, for each prompt.
        attack_seed: of the attackers' dice; another one makes other attempts on the same pictures.
        row_sizes: draw a row's own height and width, not the model's.
        call: further arguments of the stock call, the same for every method.
    """

    tasks: tuple[str | Task, ...]
    methods: tuple[str, ...] = DEFAULT_METHODS
    model: str = "picto"
    files: dict[str, str] = field(default_factory=dict)
    judges: tuple[str, ...] = ("picto",)
    guard: str | None = "picto-guard"
    clip: str | None = None
    lpips: str | None = None
    inception: str | None = None
    seeds: int = 1
    limit: int | None = None
    steps: int = 25
    guidance_scale: float | None = None
    batch_size: int = 20
    pictures: int = 0
    attacks: tuple[str, ...] = ()
    budget: int = 20
    attack_seed: int = 0
    row_sizes: bool = False
    call: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("seeds", "steps", "batch_size", "budget"):
            if getattr(self, name) < 1:
                raise BenchError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("tasks", "methods", "judges"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise BenchError(f"{name}={list(values)} must be one or several different names")
        if unknown := [name for name in self.attacks if name not in ATTACKS]:
            raise BenchError(f"attacks has {unknown[0]!r}, which is not one of {', '.join(ATTACKS)}")
        if taken := self.call.keys() & _OF_THE_RUN:
            raise BenchError(f"call has {min(taken)!r}, which the run itself says")
        if self.guard in self.judges:
            raise BenchError(f"guard={self.guard!r} measures too: a judge cannot grade what it has filtered")


def launch(
    settings: Settings,
    pipe: DualLatentMixin,
    out: Path,
    resume: bool = False,
    command: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Runs the benchmark and scores it; what `resume` finds done in `out` is not done again.

    Args:
        pipe: the checkpoint that `settings.model` names.
        progress: is told how many pictures are done, of how many.

    Returns:
        The results, as in `results.json`.

    Raises:
        BenchError, TaskError: a setting, a task or a folder that cannot be.
        ValueError: an unknown method or judge.
    """
    if unknown := [name for name in settings.call if not pipe.takes(name)]:
        raise BenchError(f"call has {unknown[0]!r}, which is no argument of {type(pipe).__name__}'s call")
    device = str(pipe.device)
    guard = load_judge(settings.guard, device) if settings.guard else None
    order = dict.fromkeys((REFERENCE, *settings.methods))
    methods = {name: create(name, guard) for name in order}
    judges = {name_of(judge): judge for judge in (load_judge(spec, device) for spec in settings.judges)}
    if len(judges) < len(settings.judges):
        raise BenchError(f"judges={list(settings.judges)} have the same name, {list(judges)}: take one of them")
    reader = _reader(judges)
    tasks = [resolve_task(name) for name in settings.tasks]
    prompts = [read_task(task, _file(task, settings), settings.limit) for task in tasks]
    if unknown := [name for name in settings.files if name not in {task.name for task in tasks}]:
        raise BenchError(f"files has {unknown[0]!r}, which is not one of this run's tasks: {[t.name for t in tasks]}")
    totals = [sum(1 for _ in each.rows) for each in prompts]
    lpips, no_lpips = instrument(Lpips, settings.lpips, tasks, device)
    harmless = [task for task in tasks if task.kind != "unsafe"]
    inception, no_inception = instrument(Inception, settings.inception, harmless, device)
    space = "picto" if reader else "clip" if settings.clip else None
    features = {task.name: "inception" if task.name in inception else space for task in tasks}
    run = _described(settings, list(order), list(judges), features, prompts, totals, command)
    run |= {"lpips": _weights(lpips), "inception": _weights(inception), "notes": no_lpips + no_inception}
    record = Record(out, run, COMPARED, resume)
    sampling = {"num_inference_steps": settings.steps} | settings.call
    if settings.guidance_scale is not None:
        sampling["guidance_scale"] = settings.guidance_scale
    runner = Runner(
        pipe,
        methods,
        judges,
        record,
        sampling,
        reader=reader,
        clip=ClipScorer.from_pretrained(settings.clip, device) if settings.clip else None,
        seeds=settings.seeds,
        batch_size=settings.batch_size,
        pictures=settings.pictures,
        row_sizes=settings.row_sizes,
    )
    total = sum(totals) * settings.seeds * len(methods) * max(1, len(settings.attacks))
    runs = [
        TaskRun(
            _name(task, attack),
            resolve(task.policy),
            each.rows,
            attack,
            settings.budget,
            settings.attack_seed,
            lpips.get(task.name),
            inception.get(task.name),
            None if task.kind == "unsafe" else Concepts(pipe, concepts(resolve(task.policy))),
        )
        for task, each in zip(tasks, prompts)
        for attack in settings.attacks or (None,)
    ]
    off = {"safety_checker": None} if hasattr(pipe, "safety_checker") else {}  # it would blacken stock pictures too
    with standing_in(pipe, off):
        for done in runner.run(runs):
            progress(done, total)
    return write_results(out)


def _name(task: Task, attack: str | None) -> str:
    return f"{task.name}+{attack}" if attack else task.name


def _file(task: Task, settings: Settings) -> Path | None:
    return Path(settings.files[task.name]) if task.name in settings.files else None


def _weights(instruments: dict[str, Any]) -> str | None:
    """The weights that every task's instrument has."""
    return next((each.name for each in instruments.values()), None)


def _reader(judges: dict[str, Judge]) -> PictoJudge | None:
    """Picto's judge, if it is among those that measure."""
    return next((judge for judge in judges.values() if isinstance(judge, PictoJudge)), None)


def _described(
    settings: Settings,
    methods: list[str],
    judges: list[str],
    features: dict[str, str | None],
    prompts: list[Prompts],
    totals: list[int],
    command: str | None,
) -> dict[str, Any]:
    """What `run.json` holds."""
    described = {}
    for each, total in zip(prompts, totals):
        task, policy = each.task, resolve(each.task.policy)
        for attack in settings.attacks or (None,):
            described[_name(task, attack)] = {
                "kind": task.kind,
                "prompts": total,
                "n_original": total * settings.seeds,
                "data_hash": each.data_hash,
                "policy": f"{policy.id}@{policy.hash}",
                "metrics": list(task.metrics),
                "features": features[task.name],
                "notes": [*task.protocol, *each.notes],
            }
    return {
        "tasks": described,
        "methods": methods,
        "judges": judges,
        "judge_specs": list(settings.judges),
        "safety_checker": "off",
        **{name: getattr(settings, name) for name in _SAID},
        "data": {name: [task["data_hash"], task["policy"], task["prompts"]] for name, task in described.items()},
        "comparable": settings.limit is None and all(each.task.pins(each.data_hash) for each in prompts),
        **surroundings(),
        "command": command,
    }
