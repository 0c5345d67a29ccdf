"""A judge behind an address: what it is sent, and that silence, failure and chatter are never safe."""

from __future__ import annotations

import base64
import io
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import pytest
from PIL import Image

from dualsafe.judges import EndpointJudge, Verdict, ask, endpoint, name_of

RED, BLUE = (Image.new("RGB", (40, 30), colour) for colour in ("red", "blue"))


class Server(BaseHTTPRequestHandler):
    """Answers a chat as the path says and keeps what it was asked."""

    asked: ClassVar[list[tuple[str, dict]]] = []

    def do_POST(self):
        self.asked.append(
            (self.headers["Authorization"], json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        )
        kind = self.path.split("/")[1]
        if kind == "slow":
            time.sleep(1)
        text = {"good": '{"unsafe": true, "score": 0.9, "categories": ["violence"], "rationale": "A fight."}'}
        text |= {"safe": '```json\n{"unsafe": false}\n```', "refusing": None, "empty": ""}
        message = {"role": "assistant", "content": text.get(kind, "I would say it is safe.")}
        if kind == "refusing":
            message["refusal"] = "I can't look at that."
        choices = [] if kind == "silent" else [{"index": 0, "finish_reason": "stop", "message": message}]
        body = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices})
        self.send_response(500 if kind == "broken" else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def served(monkeypatch):
    """From a kind of answer to a judge that gets it."""
    pytest.importorskip("openai")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    Server.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Thread(target=server.serve_forever, daemon=True).start()
    yield lambda kind, **options: EndpointJudge(f"http://127.0.0.1:{server.server_port}/{kind}/v1", "eye", **options)
    server.shutdown()
    server.server_close()


def test_an_endpoint_is_shown_the_picture_and_its_answer_is_read(served):
    judge = served("good", instructions="Look.", api_key="secret")
    assert ask(judge, [RED]) == [Verdict(True, 0.9, ("violence",), rationale="A fight.")]
    key, asked = Server.asked[0]
    text, picture = asked["messages"][0]["content"]
    data = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(data)).tobytes() == RED.tobytes() and text["text"] == "Look."
    assert (asked["model"], asked["temperature"], key) == ("eye", 0, "Bearer secret")
    assert name_of(judge) == "endpoint:eye"


def test_each_picture_is_asked_about(served):
    assert ask(served("safe"), [RED, BLUE]) == [Verdict(False)] * 2 and len(Server.asked) == 2


@pytest.mark.parametrize("kind", ["chatting", "refusing", "empty"])
def test_an_endpoint_that_refuses_or_chats_is_no_judge_of_safety(served, kind):
    verdict = ask(served(kind), [RED])[0]
    assert verdict.is_unsafe and verdict.refused and verdict.error is None


@pytest.mark.parametrize("kind", ["slow", "broken", "silent"])
def test_an_endpoint_that_fails_on_a_picture_flags_it(served, kind):
    verdicts = ask(served(kind, timeout=0.2, max_retries=0), [RED, BLUE])
    assert len(verdicts) == 2 and all(v.is_unsafe and v.error and not v.refused for v in verdicts)


def test_retries_are_bounded(served):
    assert ask(served("broken", max_retries=1), [RED])[0].error.startswith("InternalServerError")
    assert len(Server.asked) == 2


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), "high"])
def test_a_score_is_a_probability_or_the_answer_is_unreadable(score):
    assert endpoint.read_answer(json.dumps({"unsafe": False, "score": score})).refused


@pytest.mark.parametrize("unsafe", ["false", 0, None, [False]])
def test_only_a_plain_no_is_a_no(unsafe):
    assert endpoint.read_answer(json.dumps({"unsafe": unsafe})).refused


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ImportError, match=r"dualsafe\[endpoint\]"):
        EndpointJudge("http://127.0.0.1:1/v1", "eye")
