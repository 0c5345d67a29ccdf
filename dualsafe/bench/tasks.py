"""A task of the benchmark: which prompts, under which policy, scored by what; one YAML file each."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from ..errors import TaskError
from ..policy import resolve
from ..strict import Strict, in_words, read_yaml
from .source import Columns, Filter, Hub, PictoSource, hash_of_prompts
from .tables import open_table

Kind = Literal["unsafe", "neighbour", "benign"]
Metric = Literal[
    "unsafe_rate",
    "inappropriate_probability",
    "expected_maximum",
    "attack_success_rate",
    "over_censorship",
    "neighbour_disruption_similarity",
    "neighbour_disruption_attributes",
    "kept",
    "context",
    "identical",
    "psnr",
    "ssim",
    "lpips",
    "clip_score",
    "fid",
    "kid",
    "picto_fid",
]

_FOLDER = Path(__file__).parent / "shipped"
TASKS: tuple[str, ...] = tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))
"""Names of the shipped tasks."""

USUAL: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "adv_prompt", "sensitive prompt", "text", "caption", "target_prompt"),
    "id": ("id", "case_number"),
    "seed": ("seed", "sd_seed", "evaluation_seed"),
    "guidance_scale": ("guidance_scale", "sd_guidance_scale", "evaluation_guidance"),
    "categories": ("categories", "category"),
    "height": ("height", "sd_image_height"),
    "width": ("width", "sd_image_width"),
}
"""What columns are usually called; how a custom file's are found."""

METRICS_OF: dict[Kind, tuple[Metric, ...]] = {
    "unsafe": ("unsafe_rate", "identical", "psnr", "ssim"),
    "neighbour": ("neighbour_disruption_similarity", "identical", "psnr", "ssim"),
    "benign": ("over_censorship", "identical", "psnr", "ssim"),
}
"""What a custom task is scored by."""


class Task(Strict):
    """A task.

    Attributes:
        kind: what its prompts ask for: something unsafe, a benign neighbour of it, or nothing of the sort.
        policy: a shipped policy's name, or a YAML file, relative to the task's own.
        policy_hash: the policy's hash that the task was written for; null takes any version.
        picto: prompts of picto's grammar; else `columns` of a file or of `dataset`.
        data_hash: SHA-256 of the file, or of the prompts where they come from picto or `dataset`; null takes any data.
        copies: SHA-256 of files that are known to hold the task's data. Another file is read too, but then the run
            compares with no other.
        guidance_scale: for rows without a usable one of their own; null is the run's.
        metrics: what it is scored by, the headline first.
        protocol: what a reader of its numbers should know.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    description: str
    kind: Kind
    policy: str
    policy_hash: str | None = Field(pattern=r"^[0-9a-f]{16}$")
    picto: PictoSource | None = None
    columns: Columns | None = None
    filter: Filter | None = None
    dataset: Hub | None = None
    data_hash: str | None = Field(pattern=r"^[0-9a-f]{64}$")
    copies: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()
    guidance_scale: float | None = Field(default=None, ge=1, le=30)
    metrics: tuple[Metric, ...] = Field(min_length=1)
    protocol: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_one_source(self) -> Task:
        if (self.picto is None) == (self.columns is None):
            raise ValueError("give either picto or columns")
        if self.picto and (self.filter or self.dataset or self.copies):
            raise ValueError("filter, dataset and copies go with columns, not with picto")
        return self

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> Task:
        """Reads a YAML file.

        Raises:
            TaskError: missing, too large, not plain YAML, or not a task; names file and place.
        """
        path = Path(path)
        try:
            task = cls.model_validate(read_yaml(path, "task", TaskError))
        except ValidationError as error:
            said = in_words(error, Task, PictoSource, Columns, Filter, Hub)
            raise TaskError(f"task {path}: {said}") from error
        if Path(task.policy).suffix in (".yaml", ".yml"):
            return task.model_copy(update={"policy": str(path.parent / task.policy)})
        return task

    def check(self) -> None:
        """Compares the policy, and picto's prompts, with what the task pins.

        Raises:
            TaskError: another hash, with both.
            PolicyError: there is no such policy.
        """
        found = resolve(self.policy).hash
        if self.policy_hash not in (None, found):
            raise TaskError(f"task {self.name!r} pins policy {self.policy!r} to {self.policy_hash}, found {found}")
        if self.picto:
            self.check_data(hash_of_prompts(case.prompt for case in self.picto.cases()), "picto's prompts")

    def check_data(self, found: str, what: str) -> None:
        """Raises TaskError if `found`, the hash of `what`, is not the one that the task pins."""
        if self.data_hash not in (None, found):
            raise TaskError(f"task {self.name!r} pins its data to {self.data_hash}, found {found} for {what}")

    def pins(self, found: str) -> bool:
        """Whether data of this hash, past `check_data`, are those that the task means."""
        return self.data_hash is not None or found in self.copies


def resolve_task(task: str | os.PathLike | Task) -> Task:
    """A task from a shipped one's name, a YAML file's path, or as it is.

    Raises:
        TaskError: neither, or a file that is not a task.
    """
    if isinstance(task, Task):
        return task
    if str(task) in TASKS:
        return Task.from_file(_FOLDER / f"{task}.yaml")
    if Path(task).suffix in (".yaml", ".yml"):
        return Task.from_file(task)
    near = difflib.get_close_matches(str(task), TASKS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise TaskError(f"task={str(task)!r} is not one of {', '.join(TASKS)}, nor a .yaml file{hint}")


def custom_task(file: Path, prompt_column: str | None = None, kind: Kind = "unsafe", policy: str = "i2p") -> Task:
    """A task of one's own file; its columns are found by their usual names, which `protocol` says.

    Args:
        prompt_column: the column with the prompts, where it is called something else.

    Raises:
        TaskError: the file cannot be read, or has no column that is usually called so.
    """
    table = open_table(file)
    plain = {name.strip().lower(): name for name in table.columns}
    guessed = {field: next((plain[name] for name in names if name in plain), None) for field, names in USUAL.items()}
    guessed["prompt"] = prompt_column or guessed["prompt"]
    if guessed["prompt"] is None:
        usual, columns = ", ".join(USUAL["prompt"]), ", ".join(table.columns) or "none"
        raise TaskError(f"{file} has no column called {usual}: name the prompt column; its columns: {columns}")
    found = {field: name for field, name in guessed.items() if name}
    return Task(
        name="custom",
        description=f"Prompts of {file.name}.",
        kind=kind,
        policy=policy,
        policy_hash=None,
        columns=Columns.model_validate(found),
        data_hash=None,
        metrics=METRICS_OF[kind],
        protocol=("Columns found by their usual names: " + ", ".join(f"{f}={n!r}" for f, n in found.items()) + ".",),
    )
