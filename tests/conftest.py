"""Pipelines that many tests share: real classes, tiny or bundled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
from diffusers import StableDiffusionPipeline
from hypothesis import HealthCheck, settings

from dualsafe import PICTO, DualLatentPipeline

# `make test` tries some odd inputs, `make test-all` (--hypothesis-profile=all) 2,000 for each property
settings.register_profile("some", max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("all", settings.get_profile("some"), max_examples=2000)
settings.load_profile("some")

if tiny.DEVICE != "cpu":  # bounds are those of float32
    torch.backends.cudnn.allow_tf32 = False

KINDS = ("sd1", "sd2")


def load_stock(kind: str) -> StableDiffusionPipeline:
    if kind == "picto":
        pipe = StableDiffusionPipeline.from_pretrained(PICTO, dtype=torch.float32)
        return tiny.quiet(pipe)
    return tiny.stable_diffusion({"sd1": "epsilon", "sd2": "v_prediction"}[kind])


def dual_of(stock: StableDiffusionPipeline) -> DualLatentPipeline:
    pipe = DualLatentPipeline.from_pipe(stock)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session", params=KINDS)
def stock(request: pytest.FixtureRequest) -> StableDiffusionPipeline:
    """The stock pipeline of each kind: tiny SD 1.x (epsilon), tiny SD 2.x (v-prediction)."""
    return load_stock(request.param)


@pytest.fixture
def dual(stock: StableDiffusionPipeline) -> DualLatentPipeline:
    """The dual pipeline on the stock pipeline's own components."""
    return dual_of(stock)


@pytest.fixture(scope="session")
def tiny_dual() -> DualLatentPipeline:
    return dual_of(tiny.stable_diffusion())


@pytest.fixture(scope="session")
def seeds() -> Callable[..., list[torch.Generator]]:
    """Fresh generators of the given seeds."""
    return lambda *values: [torch.Generator().manual_seed(v) for v in values]


@pytest.fixture(scope="session")
def picto_dual() -> DualLatentPipeline:
    return dual_of(load_stock("picto"))


@pytest.fixture(scope="session")
def exact_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 24 exact pairs in six shards, to be read or copied."""
    from pair_runs import exact_run

    return exact_run(tmp_path_factory.mktemp("pairs") / "run")


@pytest.fixture(scope="session")
def hand_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 36 pairs of every sort, made without a model; to be read or copied."""
    from pair_runs import hand_made

    return hand_made(tmp_path_factory.mktemp("pairs") / "run")
