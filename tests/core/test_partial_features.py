"""A safe branch on the original's deepest features."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, UNet2DConditionModel
from families import FAMILIES, SAFE, UNSAFE, dual_of

from dualsafe import MethodSettings
from dualsafe.partial import features, partial_of
from dualsafe.partial.features import DeepFeatures

NONE = torch.zeros(0, dtype=torch.long)
ROWS = torch.tensor([1, 0])
SPARSE = MethodSettings(sparse=True, mask_floor=0.05, latent_gate=None)


def unet(deepest: str = "DownBlock2D") -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", deepest),
        up_block_types=(deepest.replace("Down", "Up"), "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=8,
    ).eval()


def told(seed: int, rows: int = 2) -> tuple[tuple, dict]:
    generator = torch.Generator().manual_seed(seed)
    sample = torch.randn(rows, 4, 8, 8, generator=generator)
    return (sample, 500), {"encoder_hidden_states": torch.randn(rows, 20, 32, generator=generator)}


@torch.no_grad()
@pytest.mark.parametrize("deepest", ["DownBlock2D", "CrossAttnDownBlock2D"])
def test_it_is_the_model_with_the_originals_output_of_the_deepest_level(deepest):
    model = unet(deepest)
    partial, kept = DeepFeatures(model), []
    (args, kwargs), (safe, texts) = told(1), told(2)
    original = model(*args, **kwargs).sample
    handle = model.up_blocks[0].register_forward_hook(lambda block, args, output: kept.append(output))
    assert torch.equal(partial.keep(args, kwargs, NONE).sample, original)
    handle.remove()
    handle = model.up_blocks[0].register_forward_hook(lambda block, args, output: kept[0][ROWS])
    expected = model(*safe, **texts).sample
    handle.remove()
    deep = (model.down_blocks[-1], model.mid_block, model.up_blocks[0])
    handles = [block.register_forward_pre_hook(lambda *_: pytest.fail("it was computed")) for block in deep]
    found = partial.run(safe, texts, ROWS, torch.ones(2, 1, 1, dtype=torch.bool))
    for handle in handles:
        handle.remove()
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found, model(*safe, **texts).sample, atol=1e-2)
    assert torch.equal(model(*args, **kwargs).sample, original)  # the model itself is as it was


@torch.no_grad()
def test_what_is_far_from_its_original_at_first_keeps_features_of_its_own():
    partial = DeepFeatures(unet())
    (args, kwargs), (safe, texts) = told(1), told(1)
    partial.keep(args, kwargs, NONE)
    safe[0][1] += 3.0
    assert partial.places([4, 7], None, True) == {}  # nothing is known of them
    expected = partial._model(*safe, **texts).sample
    original = partial._kept.features
    assert torch.equal(partial.whole(safe, texts, torch.arange(2), [4, 7]).sample, expected)
    assert partial._kept.features is original
    assert partial._apart[4] == 0 and partial._apart[7] > features.AGREE
    assert [*partial.places([4, 7], None, False)] == [4]
    partial.whole(told(3)[0], texts, torch.arange(2), [4, 9])
    assert partial._apart[4] == 0 and partial._apart[9] > features.AGREE  # it counts what was first seen


@pytest.fixture
def dual():
    stock = tiny.stable_diffusion()
    return dual_of(tiny.quiet(type(stock)(**stock.components | {"unet": unet()}, requires_safety_checker=False)))


def test_a_pair_has_the_stock_original_and_the_safe_branch_its_own_text(dual, seeds):
    family, options = FAMILIES["sd1"], {"safe_prompt": SAFE, "num_inference_steps": 12, "return_pair": True}
    whole = MethodSettings(mask_floor=0.05, latent_gate=None)
    dense = family.call(dual, UNSAFE, **options, settings=whole, generator=seeds(1, 2))
    found = family.call(dual, UNSAFE, **options, settings=SPARSE, generator=seeds(1, 2))
    assert np.array_equal(found.unsafe_images, dense.unsafe_images)
    assert [r.denoiser_rows for r in found.safety] == [r.denoiser_rows for r in dense.safety]
    apart, moved = (np.abs(a.images - dense.images).max() for a in (found, family.call(
        dual, UNSAFE, **options | {"safe_prompt": UNSAFE[::-1]}, settings=whole, generator=seeds(1, 2)
    )))  # fmt: skip
    assert 0 < apart < moved


def test_a_batch_equals_its_parts_and_an_unwatched_batch_is_stock(dual, seeds):
    family, options = FAMILIES["sd1"], {"settings": SPARSE, "num_inference_steps": 12}
    batch = family.images(dual, UNSAFE, safe_prompt=SAFE, generator=seeds(1, 2), **options)
    for i in (0, 1):
        alone = family.images(dual, UNSAFE[i:][:1], safe_prompt=SAFE[i:][:1], generator=seeds(i + 1), **options)
        assert np.abs(batch[i] - alone[0]).max() <= 1e-4
    plain = family.images(dual, ["a cat"], scope="words", generator=seeds(1), num_inference_steps=12)
    assert np.array_equal(family.images(dual, ["a cat"], scope="words", generator=seeds(1), **options), plain)


def test_what_is_flagged_at_last_is_tried_as_a_whole(dual, seeds):
    """Without a mask, which a branch in part needs."""
    told = {"safe_prompt": SAFE, "settings": SPARSE, "verify": lambda images: [True] * len(images)}
    output = FAMILIES["sd1"].call(dual, UNSAFE, **told, generator=seeds(1, 2), num_inference_steps=12)
    assert all(report.withheld and report.tries == 3 for report in output.safety)


def test_it_is_refused_where_it_cannot_be_had(dual, seeds):
    with pytest.raises(TypeError, match="heeds texts outside its deepest level"):
        partial_of(tiny.unet())
    hooked = unet()
    hooked.forward = hooked.forward
    with pytest.raises(TypeError, match="forward is hooked"):
        partial_of(hooked)
    compiled = unet()
    compiled.compile()
    with pytest.raises(TypeError, match="compiled"):
        partial_of(compiled)
    net = ControlNetModel.from_unet(dual.unet, conditioning_embedding_out_channels=(16, 32))
    stock = StableDiffusionControlNetPipeline.from_pipe(FAMILIES["sd1"].make(), unet=dual.unet, controlnet=net)
    with pytest.raises(ValueError, match="takes no down_block_additional_residuals, mid_block_additional_residual"):
        FAMILIES["sd-controlnet"].call(
            dual_of(stock), UNSAFE, safe_prompt=SAFE, settings=SPARSE, num_inference_steps=12, generator=seeds(1, 2)
        )
