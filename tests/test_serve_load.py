"""What the load benchmark counts as right, wrong and lost."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import serve_load


def test_a_picture_is_right_if_its_own_reference_is_the_nearest():
    expected = np.random.default_rng(0).integers(20, 200, (3, 48)).astype(np.int16)

    def answer(pixels: np.ndarray) -> str:
        file = io.BytesIO()
        Image.fromarray(pixels.reshape(4, 4, 3).astype(np.uint8)).save(file, format="PNG")
        return base64.b64encode(file.getvalue()).decode()

    answers = [(0, answer(expected[0])), (1, answer(expected[1] + 1)), (2, answer(expected[0]))]
    seen = serve_load.Seen(2.0, [0.5, 1.0, 1.5], answers, ["ConnectError: gone"], 2.0)
    scores = serve_load.score(seen, expected)
    assert (scores["answers"], scores["wrong"], scores["lost"]) == (3, 1, 1)
    assert scores["exact"] == 1 / 3 and scores["p50"] == 1.0 and scores["per_second"] == 1.5 and scores["batch"] == 1.5
