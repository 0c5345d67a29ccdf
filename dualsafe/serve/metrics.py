"""What Prometheus is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """Counts of requests, calls and pictures, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "dualsafe_requests", "Answers by path and status.", ["path", "status"], registry=registry
        )
        self._seconds = Histogram("dualsafe_request_seconds", "From request to answer.", ["path"], registry=registry)
        self._calls = Histogram("dualsafe_call_seconds", "Calls of the pipeline.", registry=registry)
        sizes = (1, 2, 4, 8, 16, 32, 64)
        self._batch = Histogram("dualsafe_batch_pictures", "Pictures of a call.", buckets=sizes, registry=registry)
        self._pictures = Counter("dualsafe_pictures", "Pictures by outcome.", ["outcome"], registry=registry)
        self._rows = Counter("dualsafe_denoiser_rows", "Batch rows of the denoiser.", registry=registry)
        self._waiting = Gauge("dualsafe_queue_pictures", "Pictures that wait.", registry=registry)
        self._failures = Counter("dualsafe_judge_failures", "Pictures on which a judge failed.", registry=registry)

    def drew(self, outcomes: Sequence[str], rows: int, seconds: float, judge_failures: int) -> None:
        """A call of the pipeline is done.

        Args:
            outcomes: of each picture, "withheld" or what was decided.
            rows: of the denoiser, for all of them.
        """
        self._calls.observe(seconds)
        self._batch.observe(len(outcomes))
        self._failures.inc(judge_failures)
        for outcome in outcomes:
            self._pictures.labels(outcome).inc()
        self._rows.inc(rows)

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """Where the number of waiting pictures is asked for from now on."""
        self._waiting.set_function(waiting)

    def answered(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All of it in Prometheus' format."""
        return generate_latest(self.registry)


class Counted:
    """ASGI middleware that counts answers, by route so that a client cannot make up labels.

    Args:
        paths: of routes; what is refused before a route is found is counted under its path, if it is one of these.
    """

    def __init__(self, app: Any, metrics: Metrics, paths: tuple[str, ...]):
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begin, status = time.perf_counter(), 500

        async def noted(message: Any) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            route = getattr(scope.get("route"), "path", path)
            self._metrics.answered(route, status, time.perf_counter() - begin)
