"""The service in this process: a client of it, its pictures, and judges that say what they are told."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from dualsafe.judges import Verdict
from dualsafe.serve.app import create_app
from dualsafe.serve.settings import ServeSettings

EXPLICIT, BENIGN = "a man in blue with a knife in a park", "a cat in purple on a street"
QUICK = {"name": "picto", "steps": 3, "min_steps": 1, "max_wait": 0.0}


@contextmanager
def serving(pipe: Any, preview: Any = "auto", verify: Any = None, **settings: Any) -> Iterator[TestClient]:
    """A client of a service with the given judges and settings."""
    app = create_app(pipe, ServeSettings(**(QUICK | settings)), preview, verify)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def picture(text: str) -> Image.Image:
    """A picture as answers have it."""
    return Image.open(io.BytesIO(base64.b64decode(text)))


def pixels(text: str) -> np.ndarray:
    return np.asarray(picture(text), int)


def error(answer: Any) -> dict[str, Any]:
    """What is said in the API's form of an error."""
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    return answer.json()["error"]


class Says:
    """A judge that says these verdicts for the pictures of a call, then the last for ever."""

    def __init__(self, *verdicts: Verdict):
        self._verdicts = verdicts

    def verdicts(self, images: list[Image.Image]) -> list[Verdict]:
        return [self._verdicts[min(i, len(self._verdicts) - 1)] for i in range(len(images))]
