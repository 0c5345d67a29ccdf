"""Makes pairs of nothing: for dry runs, and for what a run costs beside its models."""

from __future__ import annotations

import random

from PIL import Image

from ..pair import Declined, Job, Made
from .editor import Editor

SIZE = (8, 8)


class NullEditor(Editor):
    """Two plain colours from the job's seed."""

    name = "null"

    def make(self, jobs: list[Job]) -> list[Made | Declined]:
        """One pair a job, in order."""
        return [_made(job) for job in jobs]


def _made(job: Job) -> Made:
    rng = random.Random(job.seed)
    original, edited = (Image.new("RGB", SIZE, tuple(rng.randbytes(3))) for _ in range(2))
    return Made(original, edited, edited_prompt=job.edited_prompt)
