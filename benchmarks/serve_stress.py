"""What operators and hostile clients do to a service, against real processes: stops under load, slow clients, memory.

    python benchmarks/serve_stress.py                # in full length; writes results/serve_stress.{json,md}
    python benchmarks/serve_stress.py slow memory    # parts of it, beside what the file holds of the others
    python benchmarks/serve_stress.py --stops 3 --seconds 5 --requests 100

The service's processes are forked from one that has loaded picto, so that a stop costs no loading.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

BODY = json.dumps({"prompt": "a man in blue with a knife in a park"}).encode()
HEAD = (
    b"POST /v1/images/generations HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
)
HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
NOT_ASKED = "not asked"


class Nursery:
    """A process that has loaded picto and forks services; a context manager."""

    def __enter__(self) -> Nursery:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()

    @contextmanager
    def service(self, *arguments: object) -> Iterator[Service]:
        """A service that is up; at the end it is killed, if it is there."""
        with socket.socket() as free, tempfile.NamedTemporaryFile("r") as log:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
            free.close()
            order = {"log": log.name, "arguments": ["serve", "--port", str(port), *map(str, arguments)]}
            print(json.dumps(order), file=self._process.stdin, flush=True)
            service = Service(port, int(self._process.stdout.readline()), Path(log.name))
            try:
                while asked(service.port, HEALTH)[0] != 200:
                    time.sleep(0.05)
                yield service
            finally:
                if service.code is None:
                    with suppress(ProcessLookupError):
                        os.kill(service.pid, signal.SIGKILL)
                    service.code = int(self._process.stdout.readline())

    def ended(self, service: Service) -> int:
        """Waits for the exit code."""
        service.code = int(self._process.stdout.readline())
        return service.code


@dataclass
class Service:
    port: int
    pid: int
    log: Path
    code: int | None = None

    @property
    def memory(self) -> float:
        """MiB that are resident."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def nursery() -> None:
    """Forks a service for each line of stdin; says its pid and, once it has ended, its exit code."""
    import torch

    from dualsafe.cli import app
    from dualsafe.cli.load import load_pipeline

    for name in ("dualsafe.serve.app", "dualsafe.serve.server", "dualsafe.judges"):
        import_module(name)  # here, and not in each service
    torch.set_num_threads(1)
    pipe = load_pipeline(None, "cpu")
    sys.modules["dualsafe.cli.serve"].load_pipeline = lambda model, device: pipe
    for line in sys.stdin:
        order = json.loads(line)
        if not (pid := os.fork()):
            log = os.open(order["log"], os.O_WRONLY | os.O_APPEND)
            os.dup2(log, 2)
            os.dup2(log, 1)
            app(order["arguments"])
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


async def ask(port: int, request: bytes, timeout: float = 120.0) -> tuple[int | str, str]:
    """Status and error code of an answer; NOT_ASKED where nobody listens, else what went wrong."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return NOT_ASKED, ""
    except OSError as error:
        return type(error).__name__, "connecting"
    try:
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), timeout)
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        code = json.loads(body).get("error", {}).get("code", "") if b"application/json" in head else "no JSON"
        if status == 503 and code and b"retry-after" not in head.lower():
            code += " without Retry-After"
        return status, code
    except (OSError, ValueError, IndexError, asyncio.TimeoutError) as error:
        return type(error).__name__, str(error)
    finally:
        writer.close()


def asked(port: int, request: bytes) -> tuple[int | str, str]:
    return asyncio.run(ask(port, request))


def stop_once(nursery: Nursery, rng: random.Random, clients: int) -> dict[str, object]:
    """A service under load is told to stop, by one signal or by two.

    Returns:
        drain, signals, seconds until it had ended, exit code, answers, and whether the log has a traceback.
    """
    drain, twice = rng.choice([0, 1, 2, 4]), rng.random() < 0.3
    kind = rng.choice([signal.SIGTERM, signal.SIGINT])
    answers: Counter[str] = Counter()

    async def client(port: int) -> None:
        while (answer := await ask(port, HEAD + BODY))[0] != NOT_ASKED:
            answers[f"{answer[0]} {answer[1]}".strip()] += 1
            if answer[0] == 503:
                await asyncio.sleep(0.05)

    async def load(service: Service) -> float:
        asking = [asyncio.ensure_future(client(service.port)) for _ in range(clients)]
        await asyncio.sleep(rng.uniform(0.2, 2.0))
        os.kill(service.pid, kind)
        begin = time.monotonic()
        if twice:
            await asyncio.sleep(rng.uniform(0.05, 0.5))
            with suppress(ProcessLookupError):
                os.kill(service.pid, kind)
        await asyncio.to_thread(nursery.ended, service)
        seconds = time.monotonic() - begin
        await asyncio.gather(*asking)
        return seconds

    steps = rng.choice([8, 25, 50])
    options = ["--drain", drain, "--steps", steps, "--max-queue", 8, "--max-n", 1, "--max-batch", 2]
    with nursery.service(*options) as service:
        seconds = asyncio.run(load(service))
        log = service.log.read_text()
    return {
        "drain": drain,
        "signals": [kind.name] * (1 + twice),
        "seconds": seconds,
        "code": service.code,
        "answers": dict(answers),
        "traceback": "Traceback" in log,
    }


GOOD = {"200", "429 queue_full", "503 stopping"}
"""What a client may hear while a service is stopped."""


def wrong_with(stop: dict) -> list[str]:
    """What was not as it has to be."""
    wrong = [f"{count} x {answer}" for answer, count in stop["answers"].items() if answer not in GOOD]
    if stop["traceback"]:
        wrong.append("traceback")
    if stop["seconds"] > stop["drain"] + 2:
        wrong.append(f"{stop['seconds']:.1f} s for --drain {stop['drain']}")
    if stop["code"] not in ((0, 130) if len(stop["signals"]) == 2 else (0,)):  # the first may have been enough
        wrong.append(f"exit code {stop['code']}")
    return wrong


def slow(nursery: Nursery, connections: int, seconds: float) -> dict[str, float]:
    """So many clients that send heads and bodies a byte at a time, or nothing; meanwhile health is asked for."""
    ended: list[float] = []
    waits: list[float] = []

    async def client(port: int, number: int, end: float) -> None:
        while (begin := time.monotonic()) < end:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            closed = asyncio.ensure_future(reader.read())
            if number % 3 == 1:
                for i in range(len(HEAD)):
                    writer.write(HEAD[i : i + 1])
                    await asyncio.wait({closed}, timeout=0.2)
                    if closed.done() or time.monotonic() > end:
                        break
            elif number % 3 == 2:
                writer.write(HEAD + BODY[:-1])
            await asyncio.wait({closed}, timeout=max(0.0, end - time.monotonic()))
            if closed.done():
                with suppress(OSError):
                    closed.result()
                ended.append(time.monotonic() - begin)
            writer.close()
            closed.cancel()

    async def health(port: int, end: float) -> None:
        while time.monotonic() < end:
            begin = time.monotonic()
            status, _ = await ask(port, HEALTH)
            waits.append(time.monotonic() - begin if status == 200 else float("inf"))
            await asyncio.sleep(0.1)

    async def all_of(port: int) -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(client(port, i, end) for i in range(connections)), health(port, end))

    with nursery.service("--read-timeout", min(5.0, seconds / 2)) as service:
        asyncio.run(all_of(service.port))
        served = asked(service.port, HEAD + BODY)[0]
    waits.sort()
    return {
        "connections": connections,
        "seconds": seconds,
        "closed": len(ended),
        "longest_held": max(ended, default=0.0),
        "health_p50": waits[len(waits) // 2],
        "health_max": waits[-1],
        "served_afterwards": float(served == 200),
    }


def memory(nursery: Nursery, requests: int) -> dict[str, float]:
    """Resident memory over many requests, from 4 clients: after a tenth of them, and at the end."""
    seen: list[float] = []

    async def all_of(service: Service) -> None:
        left = iter(range(requests))

        async def client() -> None:
            for i in left:
                status, _ = await ask(service.port, HEAD + BODY)
                assert status == 200, status
                if i % max(1, requests // 50) == 0:
                    seen.append(service.memory)

        await asyncio.gather(*(client() for _ in range(4)))

    with nursery.service("--steps", 8) as service:
        asyncio.run(all_of(service))
        end = service.memory
    return {"requests": requests, "after_a_tenth": seen[len(seen) // 10], "most": max(seen), "at_the_end": end}


def stops(home: Nursery, asked_for: argparse.Namespace) -> dict[str, object]:
    """So many stops under load: what clients heard, how long they took at most, and what went wrong."""
    rng = random.Random(0)
    seen = [stop_once(home, rng, asked_for.clients) for _ in range(asked_for.stops)]
    answers = sum((Counter(stop["answers"]) for stop in seen), Counter())
    return {
        "stops": len(seen),
        "clients": asked_for.clients,
        "answers": dict(answers),
        "over": max((stop["seconds"] - stop["drain"] for stop in seen), default=0.0),
        "wrong": [wrong for stop in seen for wrong in wrong_with(stop)],
    }


PARTS = {
    "stops": stops,
    "slow": lambda home, asked_for: slow(home, asked_for.connections, asked_for.seconds),
    "memory": lambda home, asked_for: memory(home, asked_for.requests),
}
SAID = {
    "stops": "{stops} stops under {clients} clients: {answers}; at most {over:.2f} s beyond --drain; wrong: {wrong}.",
    "slow": "{connections} slow connections for {seconds:g} s: {closed} closed, none held over {longest_held:.1f} s; "
    "health answered in {health_p50:.3f} s (median), {health_max:.3f} s (longest).",
    "memory": "{requests} requests: {after_a_tenth:.0f} MiB after a tenth, {most:.0f} at most, {at_the_end:.0f} at the "
    "end.",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nursery", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("parts", nargs="*", default=[*PARTS], help=f"of {', '.join(PARTS)}; the others' results stay")
    parser.add_argument("--stops", type=int, default=30)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--requests", type=int, default=1000)
    asked_for = parser.parse_args()
    if asked_for.nursery:
        return nursery()
    from harness import RESULTS, write

    held = RESULTS / "serve_stress.json"
    results = json.loads(held.read_text())["results"] if held.is_file() else {}
    with Nursery() as home:
        for part in asked_for.parts:
            results[part] = PARTS[part](home, asked_for)
    lines = [SAID[part].format(**results[part]) for part in PARTS if part in results]
    write(
        "serve_stress",
        "serve_stress.py",
        {part: results[part] for part in PARTS if part in results},
        "\n\n".join(lines),
    )
    if results.get("stops", {}).get("wrong"):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
