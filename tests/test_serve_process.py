"""The service in processes of its own: stopped under load, held up by slow clients, asked for long."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest
from fastapi import FastAPI

from dualsafe.serve.batching import Batcher
from dualsafe.serve.server import Server
from dualsafe.serve.settings import ServeSettings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import serve_stress
from serve_stress import HEAD, NOT_ASKED, Nursery, asked


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Its services run one at a time."""
    with Nursery() as nursery:
        yield nursery


@pytest.mark.parametrize("stops", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_a_stop_under_load_answers_whoever_asked(nursery, stops):
    rng = random.Random(stops)
    for _ in range(stops):
        stop = serve_stress.stop_once(nursery, rng, clients=8)
        assert serve_stress.wrong_with(stop) == [], stop


@pytest.mark.parametrize("signals", [1, 2])
def test_work_that_outlasts_the_drain_is_answered_and_ended(nursery, signals):
    """A call of hundreds of steps: nobody waits for its end."""
    options = ["--drain", 1 if signals == 1 else 30, "--steps", 999, "--max-steps", 999]  # picto's solver has no more
    with nursery.service(*options) as service, closing(socket.create_connection(("127.0.0.1", service.port))) as client:
        client.sendall(HEAD + serve_stress.BODY)
        half_sent = socket.create_connection(("127.0.0.1", service.port))
        half_sent.sendall(HEAD + b"{")
        time.sleep(1.5)
        begin = time.monotonic()
        for _ in range(signals):
            os.kill(service.pid, signal.SIGTERM)
            time.sleep(0.3)
        answers = [_all(client), _all(half_sent)]
        half_sent.close()
        assert nursery.ended(service) == (0 if signals == 1 else 130)
        assert time.monotonic() - begin < 3
        assert all(b" 503 " in answer and b'"stopping"' in answer and b"etry-" in answer for answer in answers)
        log = service.log.read_text()
        assert "Traceback" not in log and "it/s" not in log
    assert asked(service.port, serve_stress.HEALTH)[0] == NOT_ASKED


@pytest.mark.parametrize("hangs", ["thread", "loop"])
def test_it_is_gone_in_time_whatever_hangs(hangs):
    """Work that a thread does, or that holds up the event loop: Python's own end would wait for both."""
    fork, app = get_context("fork"), FastAPI()
    begun = fork.Event()

    @app.get("/")
    async def long() -> None:
        begun.set()
        time.sleep(60) if hangs == "loop" else await asyncio.to_thread(time.sleep, 60)

    def serve(listening: socket.socket) -> None:
        app.state.batcher, app.state.reading = Batcher(lambda kind, items: items, 1, 1, 0.0), set()
        Server(app, ServeSettings(drain=0.1)).run_to_the_end(listening)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = fork.Process(target=serve, args=(listening,))
        process.start()
        with closing(socket.create_connection(listening.getsockname())) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert begun.wait(20)
            begin = time.monotonic()
            process.terminate()
            process.join(20)
            seconds = time.monotonic() - begin
            process.kill()
    assert process.exitcode == 0 and seconds < 0.1 + 2


def test_slow_clients_are_sent_away_and_hold_up_nobody(nursery):
    seen = serve_stress.slow(nursery, connections=30, seconds=4)
    assert seen["closed"] >= 30 and seen["longest_held"] < 3.5 and seen["served_afterwards"]
    assert seen["health_p50"] < 0.2


def test_over_the_connection_limit_clients_are_told_or_cut_off(nursery):
    with nursery.service("--max-connections", 3) as service:
        held = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(3)]
        assert asked(service.port, serve_stress.HEALTH) == (503, "too_many_connections")
        held += [socket.create_connection(("127.0.0.1", service.port)) for _ in range(3)]
        assert asked(service.port, serve_stress.HEALTH)[0] not in (200, 503)
        for connection in held:
            connection.close()
        for _ in range(50):
            if asked(service.port, serve_stress.HEALTH)[0] == 200:
                return
            time.sleep(0.1)
        raise AssertionError("closed connections still count")


def test_memory_stays(nursery):
    seen = serve_stress.memory(nursery, requests=40)
    assert seen["at_the_end"] < 1.1 * seen["after_a_tenth"]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"GARBAGE\r\n\r\n", b'"invalid_http"'),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", b'"head_too_large"'),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 400_000, b'"invalid_http"'),
        (HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n") + b"0\r\n\r\n", b"exclude each other"),
        (HEAD.replace(b"127.0.0.1", b"evil.example.org") + serve_stress.BODY, b'"host_not_allowed"'),
    ],
)
def test_what_is_no_proper_request_gets_an_error_in_the_apis_form(nursery, strange, sent, said):
    with closing(socket.create_connection(("127.0.0.1", strange.port))) as client:
        client.sendall(sent)
        answer = _all(client)
    assert (
        answer.startswith((b"HTTP/1.1 400 Bad", b"HTTP/1.1 431 "))
        and said in answer
        and b'{"error":{"message"' in answer
    )


@pytest.fixture(scope="module")
def strange(nursery) -> Iterator[serve_stress.Service]:
    with nursery.service() as service:
        yield service


def test_a_port_in_use_is_found_before_anything_is_loaded(nursery, strange):
    from typer.testing import CliRunner

    from dualsafe.cli import app

    result = CliRunner().invoke(app, ["serve", "--port", str(strange.port), "--model", "/nowhere"])
    assert result.exit_code == 1 and f"--port {strange.port}: Address already in use" in result.output


def _all(client: socket.socket) -> bytes:
    client.settimeout(20)
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)
