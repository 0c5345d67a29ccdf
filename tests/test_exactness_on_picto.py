"""What a dual call promises to the bit, on picto: the promises of tests/core/test_exactness.py on trained weights."""

from __future__ import annotations

import pytest
from conftest import load_stock
from diffusers import StableDiffusionPipeline
from test_exactness import *  # noqa: F403


@pytest.fixture(scope="module", params=["picto"])
def stock(request: pytest.FixtureRequest) -> StableDiffusionPipeline:
    """picto in the place of the tiny pipelines."""
    return load_stock(request.param)
