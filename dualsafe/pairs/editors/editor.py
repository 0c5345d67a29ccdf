"""What an editor of pairs is."""

from __future__ import annotations

from typing import Protocol

from ..pair import Declined, Job, Made


class Editor(Protocol):
    """Makes both sides of pairs; a class that names it as its base has these defaults.

    Attributes:
        name: what its pairs are filed under, with its settings.
        revision: of its model; empty where it is not known.
        takes_pictures: whether it edits existing pictures; else it draws both sides.
        follows_instructions: whether it reads a job's edited prompt as an instruction.
        looks: whether it looks at what it draws, and finds what no word names.
    """

    name: str
    revision: str = ""
    takes_pictures: bool = False
    follows_instructions: bool = False
    looks: bool = False

    def make(self, jobs: list[Job]) -> list[Made | Declined]:
        """One answer a job, in order, the same whatever else is in the batch.

        Raises:
            Exception: the whole batch failed; each job is then tried alone.
        """
