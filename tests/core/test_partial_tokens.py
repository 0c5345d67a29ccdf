"""A safe branch that is computed at the tokens of its mask alone."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from families import FAMILIES, SAFE, UNSAFE, dual_of

from dualsafe import MethodSettings, method
from dualsafe.denoiser import DualDenoiser, Seen
from dualsafe.method import flow_level
from dualsafe.noise_level import Schedule, Step
from dualsafe.partial import partial_of
from dualsafe.partial.tokens import Tokens
from dualsafe.plan import Guidance, Plan

PLACES = torch.zeros(2, 8, 8, dtype=torch.bool)
PLACES[0, :3, :4] = True
PLACES[1, 2:4, 1:7] = True
NONE = torch.zeros(0, dtype=torch.long)
ROWS = torch.tensor([0, 1])
LEFT = torch.zeros(16, 16)
LEFT[:, :8] = 1.0


@pytest.fixture(scope="module")
def model():
    return tiny.stable_diffusion_3().transformer


def told(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "hidden_states": torch.randn(2, 4, 8, 8, generator=generator),
        "timestep": torch.tensor([500.0, 500.0]),
        "encoder_hidden_states": 20 * torch.randn(2, 20, 32, generator=generator),
        "pooled_projections": torch.randn(2, 64, generator=generator),
    }


@torch.no_grad()
def test_an_original_that_is_kept_is_the_stock_call_to_the_bit(model):
    expected = model(**told(1)).sample
    assert torch.equal(Tokens(model).keep((), told(1), NONE).sample, expected)


@torch.no_grad()
def test_at_every_place_it_is_the_dense_call(model):
    sparse = Tokens(model)
    sparse.keep((), told(1), NONE)
    assert torch.allclose(sparse.run((), told(2), ROWS, torch.ones_like(PLACES)), model(**told(2)).sample, atol=1e-6)


@torch.no_grad()
def test_it_is_the_dense_call_among_the_originals_tokens(model):
    """At the places, the dense call in which all other tokens are the original's, before each block."""
    original, safe, kept = told(1), told(1) | {"encoder_hidden_states": told(2)["encoder_hidden_states"]}, []
    sparse, outside = Tokens(model), ~PLACES.flatten(1)[..., None]

    def keep(block, args, kwargs):
        kept.append(kwargs["hidden_states"])

    def put(block, args, kwargs):
        return args, kwargs | {"hidden_states": torch.where(outside, kept.pop(0), kwargs["hidden_states"])}

    def hooked(hook, call):
        handles = [block.register_forward_pre_hook(hook, with_kwargs=True) for block in model.transformer_blocks]
        found = call()
        for handle in handles:
            handle.remove()
        return found

    hooked(keep, lambda: sparse.keep((), original, NONE))
    expected = hooked(put, lambda: model(**safe).sample)
    found, dense = sparse.run((), safe, ROWS, PLACES), model(**safe).sample
    inside = PLACES[:, None].expand_as(found)
    assert torch.allclose(found[inside], expected[inside], atol=1e-6)
    assert (dense - expected)[inside].abs().max() > 1e-4  # the original's tokens make a difference
    fewer = PLACES.clone()
    fewer[0, 0] = False  # each sample is computed at as many tokens as the one with most, and nowhere else
    found = sparse.run((), safe, ROWS, fewer)
    assert ((found != 0).all(1) & fewer).sum() == fewer.sum()
    assert (found != 0).any(1).flatten(1).sum(1).tolist() == [12, 12]


@torch.no_grad()
def test_rows_follow_the_originals_that_they_are_told(model):
    sparse = Tokens(model)
    sparse.keep((), told(1), NONE)
    both = sparse.run((), told(2), ROWS, PLACES[1:].expand(2, -1, -1))
    second = {name: value[1:] for name, value in told(2).items()}
    assert torch.allclose(sparse.run((), second, torch.tensor([1]), PLACES[1:]), both[1:], atol=1e-6)


@pytest.fixture
def calls(monkeypatch):
    """How many tokens each sparse call was at, by sample."""
    seen, run = [], Tokens._run

    def noted(self, args, kwargs, rows, places):
        seen.append(places.flatten(1).sum(1).tolist())
        return run(self, args, kwargs, rows, places)

    monkeypatch.setattr(Tokens, "_run", noted)
    return seen


def drawn(dual, seeds, sparse=False, **more):
    settings = MethodSettings(sparse=sparse, latent_gate=None)
    options = {"safe_prompt": SAFE, "num_inference_steps": 12, "output_type": "latent", "generator": seeds(1, 2)}
    return FAMILIES["sd3"].call(dual, UNSAFE, **options | {"settings": settings} | more)


@pytest.mark.parametrize("pair", [False, True])
def test_it_draws_nearly_what_the_dense_branch_does_at_the_masks_tokens(pair, calls, seeds):
    dual, mask = dual_of(FAMILIES["sd3"].make()), LEFT
    dense, found = (drawn(dual, seeds, sparse, mask=mask, return_pair=pair) for sparse in (False, True))
    assert all(tokens == [32] * 4 for tokens in calls)
    rows = [r.denoiser_rows for r in found.safety]
    assert rows == [r.denoiser_rows for r in dense.safety]
    if not pair:  # of two rows a call, where the original is due the safe branch is whole
        own = (drawn(dual, seeds, mask=mask, return_pair=True).safety[0].denoiser_rows - 24) // 2
        assert len(calls) == own - (rows[0] - 24) // 2 > 0
    moved = float((dense.images - drawn(dual, seeds, safety_level=0).images).abs().max())
    assert 0 < float((found.images - dense.images).abs().max()) < 0.05 * moved
    if pair:
        assert torch.equal(found.images[..., 4:], dense.images[..., 4:])
        assert torch.equal(found.unsafe_images, dense.unsafe_images)


def test_samples_follow_their_own_originals(seeds):
    dual, prompts = dual_of(FAMILIES["sd3"].make()), ["a cat", *UNSAFE]
    told = {"safe_prompt": [None, *SAFE], "mask": LEFT, "generator": seeds(3, 1, 2), "scope": "words"}
    options = {"num_inference_steps": 12, "settings": MethodSettings(sparse=True), "output_type": "latent"}
    together = FAMILIES["sd3"].call(dual, prompts, **told, **options).images
    alone = drawn(dual, seeds, sparse=True, mask=LEFT).images
    assert torch.allclose(together[1:], alone, atol=1e-4)


def test_where_a_mask_is_found_and_covers_all_it_is_the_dense_branch(calls, seeds):
    dual = dual_of(FAMILIES["sd3"].make())
    whole = {"mask_floor": 1e-9, "latent_gate": None}
    found, dense = (drawn(dual, seeds, sparse=s, settings=MethodSettings(sparse=s, **whole)) for s in (True, False))
    assert calls and np.allclose(found.images, dense.images, atol=1e-5)


def test_what_was_not_computed_is_the_originals_whatever_the_latents(model):
    level, generator = flow_level(0.5), torch.Generator().manual_seed(1)
    schedule = Schedule.of(FlowMatchEulerDiscreteScheduler())
    denoiser = DualDenoiser(model, Plan([1.0, 1.0], MethodSettings(), lambda: Guidance(1.0)), schedule)
    s, u = (Seen(*torch.randn(3, 2, 4, 8, 8, generator=generator)) for _ in range(2))
    found = denoiser._completed(s, u, [PLACES[0], None], Step(0, False, 0.5, level))
    own = torch.stack([PLACES[0], torch.ones(8, 8, dtype=torch.bool)])[:, None].expand_as(s.g)
    assert torch.equal(found.x0, torch.where(own, s.x0, u.x0)) and torch.equal(found.g[own], s.g[own])
    outside = method.clean_latents(s.z, found.g, level, "flow")[~own]
    assert torch.allclose(outside, u.x0[~own], atol=1e-6)


def test_it_is_refused_where_it_cannot_be_had(model):
    with pytest.raises(TypeError, match="not for FluxTransformer2DModel: set sparse=False"):
        partial_of(tiny.flux().transformer)
    sparse = Tokens(model)
    sparse.keep((), told(1), NONE)
    with pytest.raises(ValueError, match="takes no skip_layers"):
        sparse.run((), told(1) | {"skip_layers": [0]}, ROWS, PLACES)
    for more, why in (
        ({"mask_floor": None}, "needs a mask"),
        ({"stacked": True}, "set stacked=False"),
        ({"original_interval": None}, "set original_interval"),
    ):
        with pytest.raises(ValueError, match=why):
            MethodSettings(sparse=True, **more)
