"""Jobs of many requests, done a batch at a time by the one thread that owns the pipeline."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)
Kind = TypeVar("Kind", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


class Full(RuntimeError):
    """The queue has no room.

    Attributes:
        retry_after: seconds until there should be.
    """

    def __init__(self, retry_after: int):
        super().__init__(f"the queue is full: try again in {retry_after} s")
        self.retry_after = retry_after


class Closed(RuntimeError):
    """The service is stopping and takes nothing new."""


@dataclass
class _Job(Generic[Kind, Item, Result]):
    kind: Kind
    item: Item
    future: Future[Result] = field(default_factory=Future)


class Batcher(Generic[Kind, Item, Result]):
    """Hands jobs of one kind to `work` together, in the order of their arrival.

    A job whose future is cancelled while it waits is dropped; one at work is finished and its result thrown away. Where
    a batch fails, each of its jobs is tried alone, so that one can't fail the others.

    Args:
        work: from a kind and its items to a result each; called in the batcher's own thread only.
        max_batch: items of a call.
        max_queue: items that may wait.
        max_wait: seconds that the first waits for others of its kind.
    """

    def __init__(
        self,
        work: Callable[[Kind, list[Item]], Sequence[Result]],
        max_batch: int,
        max_queue: int,
        max_wait: float,
    ):
        self._work, self._max_batch, self._max_queue, self._max_wait = work, max_batch, max_queue, max_wait
        self._queue: deque[_Job[Kind, Item, Result]] = deque()
        self._changed = Condition()
        self._closed = False
        self._seconds = 1.0
        self._thread = Thread(target=self._run, name="dualsafe-pipeline", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Items in the queue."""
        with self._changed:
            return sum(not job.future.cancelled() for job in self._queue)

    @property
    def is_serving(self) -> bool:
        return self._thread.is_alive() and not self._closed

    def submit(self, kind: Kind, items: Sequence[Item]) -> list[Future[Result]]:
        """Queues all items or none.

        Raises:
            Full: there is no room for all of them.
            Closed: nothing new is taken.
        """
        jobs: list[_Job[Kind, Item, Result]] = [_Job(kind, item) for item in items]
        with self._changed:
            if self._closed:
                raise Closed("the service is stopping")
            if len(self._queue) + len(jobs) > self._max_queue:
                self._queue = deque(job for job in self._queue if not job.future.cancelled())
            if len(self._queue) + len(jobs) > self._max_queue:
                calls = math.ceil(len(self._queue) / self._max_batch)
                raise Full(max(1, math.ceil(calls * self._seconds)))
            self._queue.extend(jobs)
            self._changed.notify_all()
        return [job.future for job in jobs]

    def close(self) -> None:
        """Takes nothing new, does what is queued, and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while (jobs := self._next()) is not None:
            running = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if running:
                begin = time.monotonic()
                self._do(running)
                self._seconds = time.monotonic() - begin

    def _next(self) -> list[_Job[Kind, Item, Result]] | None:
        """The next batch, once there is one; None when closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if not self._queue:
                return None
            kind = self._queue[0].kind
            self._changed.wait_for(lambda: self._closed or self._count(kind) >= self._max_batch, self._max_wait)
            taken: list[_Job[Kind, Item, Result]] = []
            left: deque[_Job[Kind, Item, Result]] = deque()
            for job in self._queue:
                fits = job.kind == kind and len(taken) < self._max_batch and not job.future.cancelled()
                (taken if fits else left).append(job)
            self._queue = deque(job for job in left if not job.future.cancelled())
            return taken

    def _count(self, kind: Kind) -> int:
        return sum(job.kind == kind and not job.future.cancelled() for job in self._queue)

    def _do(self, jobs: list[_Job[Kind, Item, Any]]) -> None:
        try:
            results = self._work(jobs[0].kind, [job.item for job in jobs])
            done = list(zip(jobs, results, strict=True))
        except Exception as error:  # whatever went wrong is for the request to say
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
            else:
                logger.warning("a batch of %d failed, so each is tried alone: %s", len(jobs), error)
                for job in jobs:
                    self._do([job])
            return
        for job, result in done:
            job.future.set_result(result)
