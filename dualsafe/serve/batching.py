"""Jobs of many requests, done a batch at a time by the one thread that owns the pipeline."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

from .pace import Pace

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
    """The service is stopping."""

    def __init__(self) -> None:
        super().__init__("the service is stopping, and no picture was drawn: ask again once it is back")


@dataclass
class _Job(Generic[Kind, Item, Result]):
    kind: Kind
    item: Item
    future: Future[Result] = field(default_factory=Future)


@dataclass
class _Running:
    """The batch at work."""

    jobs: list[_Job]
    begin: float
    done: int = 0


class Batcher(Generic[Kind, Item, Result]):
    """Hands jobs of one kind to `work` together, in the order of their arrival.

    A job whose future is cancelled while it waits is dropped; one at work is finished and its result thrown away. Where
    a batch fails, each of its jobs is tried alone, so that one cannot fail the others.

    Args:
        work: from a kind and its items to a result each; called in the batcher's own thread only. Calls `step` as it
            goes, for the batcher to know how far it is and to be able to end it.
        max_batch: items of a call.
        max_queue: items that may wait.
        max_wait: seconds that the first waits for others of its kind.
        steps_of: the steps of a call of a kind.
        pace: what is known of how long they take.
    """

    def __init__(
        self,
        work: Callable[[Kind, list[Item]], Sequence[Result]],
        max_batch: int,
        max_queue: int,
        max_wait: float,
        steps_of: Callable[[Kind], int] = lambda kind: 1,
        pace: Pace | None = None,
    ):
        self._work, self._max_batch, self._max_queue, self._max_wait = work, max_batch, max_queue, max_wait
        self._steps_of, self._pace = steps_of, pace or Pace()
        self._queue: deque[_Job[Kind, Item, Result]] = deque()
        self._running: _Running | None = None
        self._changed = Condition()
        self._closed = self._aborted = False
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

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is at work."""
        with self._changed:
            return not self._queue and self._running is None

    def submit(self, kind: Kind, items: Sequence[Item]) -> list[Future[Result]]:
        """Queues all items or none.

        Raises:
            Full: there is no room for all of them.
            Closed: nothing new is taken.
        """
        jobs: list[_Job[Kind, Item, Result]] = [_Job(kind, item) for item in items]
        with self._changed:
            if self._closed:
                raise Closed
            if len(self._queue) + len(jobs) > self._max_queue:
                self._queue = deque(job for job in self._queue if not job.future.cancelled())
            if len(self._queue) + len(jobs) > self._max_queue:
                raise Full(max(1, math.ceil(self._seconds_left())))
            self._queue.extend(jobs)
            self._changed.notify_all()
        return [job.future for job in jobs]

    def step(self) -> None:
        """A step of the batch at work is done.

        Raises:
            Closed: it was aborted, and is to end.
        """
        if self._aborted:
            raise Closed
        if self._running is not None:
            self._running.done += 1

    def stop(self) -> None:
        """Takes nothing new; what is queued is still done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Answers all that waits or is at work with `Closed`, at once; what is at work ends with its next step."""
        with self._changed:
            self._closed = self._aborted = True
            jobs = [*(self._running.jobs if self._running else ()), *self._queue]
            self._queue.clear()
            self._changed.notify_all()
        for job in jobs:
            with suppress(InvalidStateError):  # answered, or its client has left
                job.future.set_exception(Closed())

    def close(self) -> None:
        """Takes nothing new, does what is queued, and ends the thread; after `abort` it ends with its next step."""
        self.stop()
        if not self._aborted:
            self._thread.join()

    def _seconds_left(self) -> float:
        """Until all that is at work and that waits is drawn."""
        left = 0.0
        if (running := self._running) is not None:
            steps, gone = self._steps_of(running.jobs[0].kind), time.monotonic() - running.begin
            to_do = max(steps - running.done, 1)
            pace = gone / running.done if running.done else self._pace.seconds(len(running.jobs), steps) / steps
            left += to_do * pace
        for kind, count in Counter(job.kind for job in self._queue).items():
            for first in range(0, count, self._max_batch):
                left += self._pace.seconds(min(count - first, self._max_batch), self._steps_of(kind))
        return left

    def _run(self) -> None:
        while (jobs := self._next()) is not None:
            if jobs:
                self._do(jobs)
            with self._changed:
                self._running = None

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
            taken = [job for job in taken if job.future.set_running_or_notify_cancel()]
            self._running = _Running(taken, time.monotonic()) if taken else None
            return taken

    def _count(self, kind: Kind) -> int:
        return sum(job.kind == kind and not job.future.cancelled() for job in self._queue)

    def _do(self, jobs: list[_Job[Kind, Item, Any]]) -> None:
        begin = time.monotonic()
        try:
            results = self._work(jobs[0].kind, [job.item for job in jobs])
            done = list(zip(jobs, results, strict=True))
        except Exception as error:  # whatever went wrong is for the request to say
            if len(jobs) == 1 or self._aborted:
                for job in jobs:
                    with suppress(InvalidStateError):
                        job.future.set_exception(error)
            else:
                logger.warning("a batch of %d failed, so each is tried alone: %s", len(jobs), error)
                for job in jobs:
                    self._do([job])
            return
        self._pace.learn(len(jobs), self._steps_of(jobs[0].kind), time.monotonic() - begin)
        for job, result in done:
            with suppress(InvalidStateError):
                job.future.set_result(result)
