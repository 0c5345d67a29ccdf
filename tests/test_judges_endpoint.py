"""A judge behind an address: what it is sent, and that silence, failure and chatter are never safe."""

from __future__ import annotations

import base64
import io
import json
import sys

import pytest
from chat_server import chat
from PIL import Image

from dualsafe.judges import EndpointJudge, Verdict, ask, endpoint, name_of

RED, BLUE = (Image.new("RGB", (40, 30), colour) for colour in ("red", "blue"))


ANSWERS = {
    "good": '{"unsafe": true, "score": 0.9, "categories": ["violence"], "rationale": "A fight."}',
    "safe": '```json\n{"unsafe": false}\n```',
    "empty": "",
}


@pytest.fixture
def server(monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with chat(ANSWERS, otherwise="I would say it is safe.") as server:
        yield server


@pytest.fixture
def served(server):
    """From a kind of answer to a judge that gets it."""
    return lambda kind, **options: EndpointJudge(server.address(kind), "eye", **options)


def test_an_endpoint_is_shown_the_picture_and_its_answer_is_read(server, served):
    judge = served("good", instructions="Look.", api_key="secret")
    assert ask(judge, [RED]) == [Verdict(True, 0.9, ("violence",), rationale="A fight.")]
    asked = server.asked[0]
    text, picture = asked["messages"][0]["content"]
    data = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(data)).tobytes() == RED.tobytes() and text["text"] == "Look."
    assert (asked["model"], asked["temperature"], server.keys[0]) == ("eye", 0, "Bearer secret")
    assert name_of(judge) == "endpoint:eye"


def test_each_picture_is_asked_about(server, served):
    assert ask(served("safe"), [RED, BLUE]) == [Verdict(False)] * 2 and len(server.asked) == 2


@pytest.mark.parametrize("kind", ["chatting", "refusing", "empty"])
def test_an_endpoint_that_refuses_or_chats_is_no_judge_of_safety(served, kind):
    verdict = ask(served(kind), [RED])[0]
    assert verdict.is_unsafe and verdict.refused and verdict.error is None


@pytest.mark.parametrize("kind", ["slow", "broken", "silent"])
def test_an_endpoint_that_fails_on_a_picture_flags_it(served, kind):
    verdicts = ask(served(kind, timeout=0.2, max_retries=0), [RED, BLUE])
    assert len(verdicts) == 2 and all(v.is_unsafe and v.error and not v.refused for v in verdicts)


def test_retries_are_bounded(server, served):
    assert ask(served("broken", max_retries=1), [RED])[0].error.startswith("InternalServerError")
    assert len(server.asked) == 2


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
