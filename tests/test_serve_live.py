"""The service over a real connection: who shares a call, who leaves, who comes back later, OpenAI's own client."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread

import httpx2
import numpy as np
import openai
import pytest
from served import BENIGN, EXPLICIT, picture, pixels

from dualsafe.judges import Verdict
from dualsafe.serve.app import GENERATIONS as PATH
from dualsafe.serve.app import create_app
from dualsafe.serve.server import Server
from dualsafe.serve.settings import ServeSettings


class Gate:
    """A judge that lets everything through once `opened`; `reached` when it has been asked."""

    def __init__(self):
        self.opened, self.reached = Event(), Event()

    def verdicts(self, images):
        self.reached.set()
        assert self.opened.wait(20)
        return [Verdict(False)] * len(images)


class Live:
    """A server on loopback, in a thread."""

    def __init__(self, app, settings: ServeSettings):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = Server(app, settings, log_level="error")
        self.thread = Thread(target=self.server.run, args=([self.socket],))
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def ask(self, **body) -> httpx2.Response:
        return httpx2.post(self.url + PATH, json={"prompt": BENIGN} | body, timeout=120)

    def metric(self, name: str) -> float:
        lines = httpx2.get(f"{self.url}/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(name + " ")), 0.0)

    def until(self, name: str, value: float) -> None:
        for _ in range(500):
            if self.metric(name) == value:
                return
            time.sleep(0.02)
        raise AssertionError(f"{name} is {self.metric(name)}, not {value}")


@pytest.fixture
def live(picto_dual) -> Callable:
    @contextmanager
    def open_(verify=None, **settings) -> Iterator[Live]:
        given = ServeSettings(**{"name": "picto", "steps": 2, "min_steps": 1, "max_wait": 0.0, "drain": 10} | settings)
        live = Live(create_app(picto_dual, given, verify=verify), given)
        try:
            yield live
        finally:
            if isinstance(verify, Gate):
                verify.opened.set()
            live.server.should_exit = True
            live.thread.join()

    return open_


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def test_concurrent_requests_share_calls_and_get_what_they_would_get_alone(live, pool, picto_dual, seeds):
    prompts = [EXPLICIT, BENIGN, "a robot in red with a bomb in a kitchen"]
    bodies = [{"prompt": prompts[i % 3], "seed": i, "safety_level": (0.5, 1.0)[i % 2]} for i in range(11)]
    with live(max_wait=1.0, max_batch=4, min_level=0.5, steps=4) as server:
        two = pool.submit(server.ask, n=2, seed=50)
        answers = [future.result().json()["data"][0] for future in [pool.submit(server.ask, **b) for b in bodies]]
        answers += two.result().json()["data"]
        assert server.metric("dualsafe_batch_pictures_sum") == 13
        assert server.metric("dualsafe_batch_pictures_count") == 4
    bodies += [{"prompt": BENIGN, "seed": seed, "safety_level": 1.0} for seed in (50, 51)]
    for body, entry in zip(bodies, answers):
        alone = picto_dual(
            body["prompt"],
            generator=seeds(body["seed"]),
            safety_level=body["safety_level"],
            num_inference_steps=4,
            guidance_scale=5.0,
        )
        assert np.abs(pixels(entry["b64_json"]) - np.asarray(alone.images[0], int)).max() <= 1
        assert entry["safety_level"] == body["safety_level"] and entry["decision"] == alone.safety[0].decision


def test_a_full_queue_sends_clients_away_for_a_while(live, pool):
    gate = Gate()
    with live(gate, max_queue=2, max_n=2, max_batch=1) as server:
        kept = [pool.submit(server.ask)]
        assert gate.reached.wait(10)
        kept.append(pool.submit(server.ask, n=2))
        server.until("dualsafe_queue_pictures", 2)
        answer = server.ask()
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["code"] == "queue_full"
        assert answer.json()["error"]["type"] == "rate_limit_error"
        gate.opened.set()
        assert [len(future.result().json()["data"]) for future in kept] == [1, 2]


def test_a_request_that_takes_too_long_is_given_up(live, pool, caplog):
    gate = Gate()
    with live(gate, timeout=5, max_batch=1) as server:
        answers = [future.result() for future in [pool.submit(server.ask), pool.submit(server.ask)]]
        assert [answer.status_code for answer in answers] == [504, 504]
        assert "within 5 s" in answers[0].json()["error"]["message"]
        assert server.metric("dualsafe_queue_pictures") == 0
        gate.opened.set()
        server.until("dualsafe_batch_pictures_sum", 1)
        assert server.ask().status_code == 200
    assert "never retrieved" not in caplog.text


def test_who_leaves_is_dropped_from_the_queue(live, pool):
    gate = Gate()
    with live(gate, max_batch=1) as server:
        first = pool.submit(server.ask)
        assert gate.reached.wait(10)
        body = json.dumps({"prompt": BENIGN}).encode()
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        leaver = socket.create_connection(("127.0.0.1", server.port))
        leaver.sendall(head.encode() + body)
        server.until("dualsafe_queue_pictures", 1)
        leaver.close()
        server.until("dualsafe_queue_pictures", 0)
        gate.opened.set()
        assert first.result().status_code == 200 and server.ask().status_code == 200
        assert server.metric("dualsafe_batch_pictures_sum") == 2
        assert server.metric(f'dualsafe_requests_total{{path="{PATH}",status="499"}}') == 1


def test_stopping_finishes_what_has_begun_and_what_waits(live, pool):
    gate = Gate()
    with live(gate, max_batch=1) as server:
        answers = [pool.submit(server.ask)]
        assert gate.reached.wait(10)
        answers.append(pool.submit(server.ask))
        server.until("dualsafe_queue_pictures", 1)
        server.server.should_exit = True
        time.sleep(0.3)
        refused = server.ask()
        assert refused.status_code == 503 and refused.json()["error"]["code"] == "stopping"
        assert int(refused.headers["retry-after"]) >= 1 and refused.headers["connection"] == "close"
        assert httpx2.get(f"{server.url}/health").json()["status"] == "stopping"
        gate.opened.set()
        assert [answer.result().status_code for answer in answers] == [200, 200]
        server.thread.join(10)
        assert not server.thread.is_alive()


def test_openais_own_client(live):
    with live(verify=None, api_keys=("correct-horse",), min_level=0.5) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="correct-horse", max_retries=0)
        answer = client.images.generate(
            prompt=EXPLICIT,
            model="picto",
            n=2,
            size="auto",
            response_format="b64_json",
            user="me",
            extra_body={"seed": 4, "steps": 3, "safety_level": "high"},
        )
        assert len(answer.data) == 2 and answer.data[0].revised_prompt != EXPLICIT
        assert picture(answer.data[1].b64_json).size == (64, 64)
        assert answer.data[1].model_extra["seed"] == 5 and answer.data[1].model_extra["safety_level"] == 0.75
        assert [model.id for model in client.models.list()] == ["picto"]
        with pytest.raises(openai.BadRequestError) as caught:
            client.images.generate(prompt="a nude 9 year old child", model="picto")
        assert caught.value.code == "policy_violation" and caught.value.param == "prompt"
        with pytest.raises(openai.NotFoundError):
            client.images.generate(prompt="a cat", model="dall-e-3")
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="wrong").models.list()
