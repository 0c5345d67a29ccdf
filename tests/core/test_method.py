"""The maths, on plain tensors."""

from __future__ import annotations

import pytest
import torch

from dualsafe import method
from dualsafe.extrapolate import Carried

ALPHAS = torch.linspace(0.9999, 0.005, 1000)


def _forward(kind: str, z: torch.Tensor, x0: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The prediction whose clean latents are x0: the inverse of `clean_latents`, written from the definitions."""
    noise = (z - alpha * x0) / sigma
    return {"epsilon": noise, "v_prediction": alpha * noise - sigma * x0, "flow": noise - x0, "sample": x0}[kind]


@pytest.mark.parametrize("kind", method.PREDICTION_TYPES)
@pytest.mark.parametrize("timestep", [5, 500, 950])
def test_clean_latents_undo_the_prediction_and_blend_moves_them(kind, timestep):
    torch.manual_seed(0)
    level = method.flow_level(timestep / 1000) if kind == "flow" else method.noise_level(float(ALPHAS[timestep]))
    alpha, sigma = level
    x0_u, x0_s, z = (torch.randn(2, 4, 8, 8) for _ in range(3))
    g_s = _forward(kind, z, x0_s, alpha, sigma)
    assert torch.allclose(method.clean_latents(z, g_s, level, kind), x0_s, atol=1e-3)
    assert torch.allclose(method.prediction(z, x0_s, level, kind), g_s, atol=1e-3, rtol=1e-4)
    weight = torch.tensor([0.25, 0.8]).view(2, 1, 1, 1)
    mixed = method.blend(g_s, x0_s, x0_u, weight, level, kind)
    expected = weight * x0_s + (1 - weight) * x0_u
    assert torch.allclose(method.clean_latents(z, mixed, level, kind), expected, atol=2e-3)


@pytest.mark.parametrize("kind", method.PREDICTION_TYPES)
def test_full_weight_is_the_safe_prediction_to_the_bit(kind):
    g_s, x0_s, x0_u = (torch.randn(1, 4, 8, 8) for _ in range(3))
    level = method.noise_level(float(ALPHAS[10]))
    assert torch.equal(method.blend(g_s, x0_s, x0_u, torch.ones(1), level, kind), g_s)


def test_noise_levels_are_variance_preserving_or_a_straight_line():
    alpha, sigma = method.noise_level(0.36)
    assert (alpha.item(), sigma.item()) == pytest.approx((0.6, 0.8))
    alpha, sigma = method.flow_level(0.3)
    assert (alpha.item(), sigma.item()) == pytest.approx((0.7, 0.3))


def test_mask_of_agreeing_branches_is_empty_and_does_not_look_at_its_neighbours_in_the_batch():
    x0 = torch.randn(2, 4, 16, 16)
    other = x0.clone()
    other[0, :, 4:8, 4:8] += 3
    mask = method.difference_mask(method.difference(other, x0), floor=0.5, least=0.25)
    assert mask[1].max() == 0
    assert mask[0, 0, 4:8, 4:8].min() == 1
    assert mask[0, 0, 12:, 12:].max() == 0
    alone = method.difference_mask(method.difference(other[:1], x0[:1]), floor=0.5, least=0.25)
    assert torch.equal(alone[0], mask[0])


def test_a_mask_is_smoothed_dilated_by_one_and_feathered():
    seen = torch.zeros(1, 1, 11, 11)
    seen[..., 5, 5] = 9.0
    mask = method.difference_mask(seen, floor=0.5)[0, 0]
    expected = torch.zeros(11, 11)
    expected[2:9, 2:9] = 3 / 9
    for corner in (2, 8):
        expected[corner, 3:8:4] = expected[3:8:4, corner] = 2 / 9
        expected[corner, 2:9:6] = 1 / 9
    expected[3:8, 3:8] = 1.0
    assert torch.allclose(mask, expected)


def test_composite_is_the_original_outside_and_the_safe_picture_well_inside():
    safe, original = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    result = method.composite(safe, original, mask)
    outside = (mask == 0).expand_as(result)
    assert torch.equal(result[outside], original[outside])
    assert torch.allclose(result[..., 13:19, 13:19], safe[..., 13:19, 13:19])


def test_clean_latents_are_carried_on_along_the_line_of_the_last_two():
    carried = Carried()
    carried.see(0.2, torch.zeros(1, 4, 2, 2))
    assert torch.equal(carried.at(0.3), torch.zeros(1, 4, 2, 2))
    carried.see(0.4, torch.ones(1, 4, 2, 2))
    assert torch.allclose(carried.at(0.5), torch.full((1, 4, 2, 2), 1.5))
