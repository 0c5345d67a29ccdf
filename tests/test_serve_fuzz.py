"""Whatever the documents allow and whatever they do not: never a server's error, always an answer in the API's form."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings

from dualsafe.serve.app import create_app
from dualsafe.serve.settings import ServeSettings

schemathesis = pytest.importorskip("schemathesis")
MODES = list(schemathesis.GenerationMode)
EXAMPLES = settings(
    max_examples=int(os.environ.get("DUALSAFE_FUZZ", 40)),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def documents(picto_dual) -> Iterator:
    app = create_app(picto_dual, ServeSettings(steps=1, min_steps=1, max_steps=2, max_n=2, max_wait=0.0, min_level=0))
    with TestClient(app):
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/images/edits"])
@pytest.mark.parametrize("mode", MODES)
def test_no_request_makes_the_server_fail(documents, mode, path):
    seen: Counter = Counter()

    def check(case):
        answer = case.call()
        seen[answer.status_code] += 1
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert set(answer.json()) == {"error"} and answer.json()["error"]["message"]

    operation = documents[path]["POST"]
    EXAMPLES(given(case=operation.as_strategy(generation_mode=mode))(check))()
    drawn = seen[200] or mode is schemathesis.GenerationMode.NEGATIVE or "edits" in path  # no picture comes of chance
    assert seen[400] and drawn
