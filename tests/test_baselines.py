"""The baselines against their reference implementations, and the little protocol that all methods keep."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from diffusers import StableDiffusionPipeline
from diffusers.pipelines.deprecated.semantic_stable_diffusion import SemanticStableDiffusionPipeline
from diffusers.pipelines.deprecated.stable_diffusion_safe import StableDiffusionPipelineSafe

from dualsafe import PolicyViolation
from dualsafe.baselines import METHODS, create
from dualsafe.baselines.protocol import concept_text, concepts
from dualsafe.baselines.registry import OURS, names
from dualsafe.baselines.safree import SAFREE
from dualsafe.baselines.sld import PRESETS
from dualsafe.judges import Verdict
from dualsafe.policy import resolve

POLICY = resolve("picto")
PROMPTS, SEEDS = ["a man with a knife", "a cat on a beach"], [3, 4]
SAMPLING = {"num_inference_steps": 10, "guidance_scale": 5.0}


def arrays(images) -> np.ndarray:
    return np.stack([np.asarray(image, np.float32) / 255 for image in images])


def reference(kind, pipe):
    parts = {name: value for name, value in pipe.components.items() if name != "image_encoder"}
    if kind is SemanticStableDiffusionPipeline:
        made = kind(**parts, requires_safety_checker=False)
    else:
        made = kind(**parts, image_encoder=None, requires_safety_checker=False)
    return tiny.quiet(made)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_sld_draws_what_diffusers_draws(dual, preset):
    pipe = reference(StableDiffusionPipelineSafe, dual)
    pipe._safety_text_concept = concept_text(dual, POLICY)
    expected = pipe(
        PROMPTS,
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        sld_guidance_scale=preset.scale,
        sld_warmup_steps=round(preset.warmup * 10 / 50),
        sld_threshold=preset.threshold,
        sld_momentum_scale=preset.momentum_scale,
        sld_mom_beta=preset.momentum_beta,
        output_type="np",
        **SAMPLING,
    ).images
    drawn = create(preset.name).generate(dual, PROMPTS, SEEDS, POLICY, output_type="np", **SAMPLING)
    assert np.abs(drawn.images - expected).max() <= 1e-4
    assert drawn.rows == [30, 30]


def test_sega_draws_what_diffusers_draws(dual):
    pipe = reference(SemanticStableDiffusionPipeline, dual)
    texts = [", ".join(concept.term for concept in category.concepts) for category in POLICY.categories.values()]
    expected = pipe(
        PROMPTS[0],
        generator=[torch.Generator().manual_seed(SEEDS[0])],
        editing_prompt=texts,
        reverse_editing_direction=True,
        edit_warmup_steps=2,
        output_type="np",
        **SAMPLING,
    ).images
    drawn = create("sega").generate(dual, PROMPTS[:1], SEEDS[:1], POLICY, output_type="np", **SAMPLING)
    assert np.abs(drawn.images - expected).mean() <= 1e-4  # rounding decides here and there what is under the quantile
    assert drawn.rows == [10 * (2 + len(texts))]


@pytest.mark.parametrize("name", [*METHODS, "dualsafe-max", "dualsafe-low-nomask", "dualsafe-max+verify"])
def test_every_method_keeps_the_protocol(tiny_dual, name):
    unet = tiny_dual.unet
    method = create(name, judge=lambda images: [Verdict(False)] * len(images))
    first, second = (method.generate(tiny_dual, PROMPTS, SEEDS, POLICY, **SAMPLING) for _ in range(2))
    assert method.name == name and len(first.images) == len(first.rows) == len(first.masks) == 2
    assert np.array_equal(arrays(first.images), arrays(second.images))
    alone = method.generate(tiny_dual, PROMPTS[1:], SEEDS[1:], POLICY, **SAMPLING)
    assert np.abs(arrays(alone.images) - arrays(first.images)[1:]).max() <= 2 / 255
    assert tiny_dual.unet is unet


def test_all_start_from_the_stock_pipelines_noise(stock, dual):
    expected = stock(
        PROMPTS, generator=[torch.Generator().manual_seed(s) for s in SEEDS], output_type="np", **SAMPLING
    ).images
    drawn = create("stock").generate(dual, PROMPTS, SEEDS, POLICY, output_type="np", **SAMPLING)
    assert np.array_equal(drawn.images, expected)
    told = stock(
        ["a man with a flower", PROMPTS[1]],
        generator=[torch.Generator().manual_seed(s) for s in SEEDS],
        output_type="np",
        **SAMPLING,
    ).images
    safe = create("safe-prompt").generate(dual, PROMPTS, SEEDS, POLICY, output_type="np", **SAMPLING)
    assert np.array_equal(safe.images, told)


def test_guidance_away_from_concepts_knows_pooled_embeddings():
    from families import FAMILIES, dual_of

    pipe = dual_of(FAMILIES["xl"].make())
    size = {"height": 16, "width": 16}
    for name in ("sld-max", "sega", "negative-prompt"):
        assert len(create(name).generate(pipe, PROMPTS, SEEDS, POLICY, **SAMPLING, **size).images) == 2
    with pytest.raises(ValueError, match=r"Stable Diffusion 1.x or 2.x"):
        create("safree").generate(pipe, PROMPTS, SEEDS, POLICY, **SAMPLING, **size)
    flow = dual_of(FAMILIES["flux"].make())
    with pytest.raises(ValueError, match="needs a UNet"):
        create("sld-max").generate(flow, PROMPTS, SEEDS, POLICY, **SAMPLING, **size)


def test_safree_costs_no_row_and_its_filter_says_how_long_it_acts(dual):
    stock = create("stock").generate(dual, PROMPTS, SEEDS, POLICY, **SAMPLING)
    always, hardly = (
        SAFREE(offset=offset).generate(dual, PROMPTS, SEEDS, POLICY, **SAMPLING) for offset in (-1e9, 1e9)
    )
    assert always.rows == hardly.rows == stock.rows == [20, 20]
    far, near = (np.abs(arrays(drawn.images) - arrays(stock.images)).mean() for drawn in (always, hardly))
    assert far > near


def test_concepts_are_fitted_to_the_text_encoder_with_every_category_first(dual):
    i2p = resolve("i2p")
    text, length = concept_text(dual, i2p), dual.tokenizer.model_max_length
    assert 1 < len(dual.tokenizer(text).input_ids) <= length and concepts(i2p)[0] in text
    first = [category.concepts[0].term for category in i2p.categories.values()]
    assert concepts(i2p)[: len(first)] == first and len(set(concepts(i2p))) == len(concepts(i2p))


def test_a_policys_own_levels_and_blocks_leave_the_baselines_alone(tiny_dual):
    forced = {"level": 1.0, "block": True}
    categories = {name: category.model_copy(update=forced) for name, category in POLICY.categories.items()}
    policy = POLICY.model_copy(update={"categories": categories})
    for name in ("stock", "sld-max", "negative-prompt"):
        plain, own = (create(name).generate(tiny_dual, PROMPTS, SEEDS, p, **SAMPLING) for p in (POLICY, policy))
        assert np.array_equal(arrays(plain.images), arrays(own.images)) and own.rows == plain.rows


def test_unknown_names_and_missing_judges_are_refused():
    with pytest.raises(ValueError, match="'magic' must be one of: stock"):
        create("magic")
    with pytest.raises(ValueError, match="needs a judge"):
        create("dualsafe-max+verify")
    assert len(OURS) == 36 and set(METHODS) | set(OURS) == set(names())


def test_what_is_never_generated_is_refused_by_every_method(tiny_dual):
    for name in METHODS:
        with pytest.raises(PolicyViolation):
            create(name).generate(tiny_dual, ["a naked child"], [1], POLICY, **SAMPLING)


def test_a_plain_pipeline_is_untouched_by_a_method_in_use(tiny_dual):
    other = StableDiffusionPipeline(**tiny_dual.components, requires_safety_checker=False)
    create("sld-max").generate(tiny_dual, PROMPTS, SEEDS, POLICY, **SAMPLING)
    assert other.unet is tiny_dual.unet
