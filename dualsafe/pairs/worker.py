"""One shard from its jobs to its files: route, generate, verify, write; the last two beside the denoiser."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import PairsError
from ..judges import load_judge, name_of
from ..policy import resolve
from .caption import load_captioner
from .editors import create_editor
from .pair import Checked, Declined, Job, Made
from .pictures import load_picture
from .plan import jobs_of
from .route import route
from .row import row_of
from .shard import ShardWriter, writing
from .spec import read_run, read_spec
from .verify import Verifier, thresholds_of

AHEAD = 2
"""Batches that may wait to be verified and written."""

Answer = Made | Declined | Exception
UNMADE = Declined("")  # until the editor has answered


class Worker:
    """What makes shards of one planned run; loaded once, for as many shards as one likes.

    Args:
        folder: of the run.
        device: of its models.

    Raises:
        PairsError: no run, its policy has changed, or an editor that does not go with its kind.
        CheckpointError: a model cannot be loaded.
        ValueError: an unknown editor, judge or threshold.
    """

    def __init__(self, folder: Path, device: str = "cpu"):
        run, spec = read_run(folder), read_spec(folder)
        policy = resolve(spec.policy or run["policy"].partition("@")[0])
        if f"{policy.id}@{policy.hash}" != run["policy"]:
            raise PairsError(f"{folder} was planned under {run['policy']}, which is now {policy.id}@{policy.hash}")
        editor = create_editor(
            spec.editor,
            model=spec.model,
            policy=policy,
            steps=spec.steps,
            guidance_scale=spec.guidance_scale,
            guard=load_judge(spec.guard, device) if spec.guard else None,
            strength=spec.strength,
            kind=spec.kind,
            scope=spec.scope,
            device=device,
        )
        if (spec.kind == "real_edit") != editor.takes_pictures:
            does = "edits existing pictures" if editor.takes_pictures else "draws its own pictures"
            raise PairsError(f"editor={spec.editor!r} {does}, which does not go with kind={spec.kind!r}")
        judges = {name_of(judge): judge for judge in (load_judge(name, device) for name in spec.judges)}
        self.folder, self.spec, self.policy, self.editor = folder, spec, policy, editor
        self.verifier = Verifier(judges, thresholds_of(spec.thresholds))
        self.captioner = load_captioner(spec.captioner, device) if spec.captioner else None
        self.about = {  # what all rows of the run share
            "policy": run["policy"],
            "model": spec.model,
            "revision": editor.revision,
            "editor": editor.name,
            "config": run["spec_hash"],
        }

    def run_shard(self, index: int, progress: Callable[[int], None] = lambda jobs: None) -> dict[str, Any]:
        """Makes a shard, whole or not at all.

        Args:
            progress: is told how many more jobs are done.

        Returns:
            The shard's statistics.

        Raises:
            PairsError: every one of its jobs failed, so that something else than the jobs must be wrong.
            OSError: it cannot be written.
        """
        jobs, begin, drawing = jobs_of(self.folder, index), time.perf_counter(), 0.0
        # the executor is left first, so that nothing is written to a closed file
        with writing(self.folder, index, len(jobs)) as writer, ThreadPoolExecutor(1) as beside:
            waiting: list[Future[None]] = []
            for start in range(0, len(jobs), self.spec.batch_size):
                batch = jobs[start : start + self.spec.batch_size]
                since = time.perf_counter()
                answers = self._answers(batch)
                drawing += time.perf_counter() - since
                waiting.append(beside.submit(self._write, writer, answers))
                if len(waiting) > AHEAD:
                    waiting.pop(0).result()
                progress(len(batch))
            for each in waiting:
                each.result()
            if writer.failed == len(jobs):
                raise PairsError(f"all {len(jobs)} jobs of shard {index} failed, first by: {writer.first_error}")
            return writer.finish({"total": time.perf_counter() - begin, "drawing": drawing})

    def _answers(self, jobs: list[Job]) -> list[tuple[Job, str, Answer]]:
        """What became of each job, and in which stage."""
        answers: list[tuple[Job, str, Answer]] = []
        wanted: dict[int, Job] = {}
        for job in jobs:
            try:
                job = self._described(job)
            except Exception as error:  # whatever a model or a file raises, the other jobs are made
                answers.append((job, "caption", error))
                continue
            declined = route(job, self.spec.kind, self.policy, self.editor.looks)
            if declined is None:
                wanted[len(answers)] = job
            answers.append((job, "route", declined or UNMADE))
        for (i, job), made in zip(wanted.items(), self._made([*wanted.values()])):
            answers[i] = (job, "generate", made)
        return answers

    def _described(self, job: Job) -> Job:
        """The job with the caption and, for an editor that follows one, the instruction that it lacks."""
        if self.captioner is None or job.image is None:
            return job
        instructs = self.editor.follows_instructions and job.edited_prompt is None
        if job.prompt and not instructs:
            return job
        picture = load_picture(job.image)
        return replace(
            job,
            prompt=job.prompt or self.captioner.caption(picture),
            edited_prompt=self.captioner.instruction(picture, self.policy) if instructs else job.edited_prompt,
        )

    def _made(self, jobs: list[Job]) -> list[Answer]:
        """The editor's answers; where a batch fails, each job is tried alone."""
        if not jobs:
            return []
        try:
            return [*self.editor.make(jobs)]
        except Exception as error:
            if len(jobs) == 1:
                return [error]
        return [self._made([job])[0] for job in jobs]

    def _write(self, writer: ShardWriter, answers: list[tuple[Job, str, Answer]]) -> None:
        made = [answer for _, _, answer in answers if isinstance(answer, Made)]
        checked: Iterator[Checked] = iter(self.verifier.check(self.spec.kind, made) if made else ())
        for job, stage, answer in answers:
            if isinstance(answer, Declined):
                writer.declined(stage, answer)
            elif isinstance(answer, Exception):
                writer.error(job, stage, f"{type(answer).__name__}: {answer}")
            else:
                found = next(checked)
                row = row_of(self.spec.kind, job, answer, found, self.about)
                writer.pair(row, answer, found.errors, self.spec.keep_unverified)
