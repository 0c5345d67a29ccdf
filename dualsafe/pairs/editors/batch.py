"""From jobs to answers: what cannot be made is declined first, the rest is drawn together with what goes with it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from ..pair import Declined, Job, Made

Ready = TypeVar("Ready")

ONE_SIDED = Declined("one-sided: a null edit needs an edited prompt")
INNOCENT = Declined("benign: nothing unsafe was found, in the words or in the picture")
UNCHANGED = Declined("unchanged: both sides came out the same")
WITHHELD = Declined("withheld: no safe picture was found")
FLAGGED = Declined("flagged: the checkpoint's own safety checker blackened the edited side")


def answered(
    jobs: list[Job],
    ready: Callable[[Job], Ready | Declined],
    draw: Callable[[list[Ready]], list[Made | Declined]],
    together: Callable[[Ready], Hashable] = lambda each: None,
) -> list[Made | Declined]:
    """One answer a job, in order.

    Args:
        ready: what a job needs, or why it is not drawn.
        draw: draws one batch.
        together: equal for what may share a batch.
    """
    prepared = [ready(job) for job in jobs]
    answers: dict[int, Made | Declined] = {i: each for i, each in enumerate(prepared) if isinstance(each, Declined)}
    groups: dict[Hashable, dict[int, Ready]] = {}
    for i, each in enumerate(prepared):
        if not isinstance(each, Declined):
            groups.setdefault(together(each), {})[i] = each
    for group in groups.values():
        answers |= zip(group, draw([*group.values()]))
    return [answers[i] for i in range(len(jobs))]
