"""What users of diffusers expect of a pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from conftest import dual_of
from diffusers import StableDiffusionPipeline
from PIL import Image

from dualsafe import DualLatentOutput, DualLatentPipeline, MethodSettings

FAST = {"num_inference_steps": 4}
PROMPTS = ["a man with a knife", "a man with a water gun"]


def test_output_types(tiny_dual, seeds):
    outputs = {
        kind: tiny_dual(PROMPTS, output_type=kind, return_pair=True, generator=seeds(1, 2), **FAST)
        for kind in ("pil", "np", "pt", "latent")
    }
    pil = outputs["pil"]
    assert isinstance(pil.images[0], Image.Image) and pil.masks[0].mode == "L" and pil.masks[0].size == (16, 16)
    assert outputs["np"].images.shape == outputs["np"].unsafe_images.shape == (2, 16, 16, 3)
    assert outputs["pt"].images.shape == (2, 3, 16, 16) and outputs["pt"].masks.shape == (2, 1, 16, 16)
    assert outputs["latent"].images.shape == (2, 4, 8, 8) and outputs["latent"].masks.shape == (2, 1, 8, 8)
    assert np.array_equal(np.asarray(pil.images[0]), (outputs["np"].images[0] * 255).round().astype(np.uint8))


def test_unsafe_pictures_leave_only_when_asked_for_and_are_marked(tiny_dual):
    assert tiny_dual(PROMPTS, **FAST).unsafe_images is None
    pair = tiny_dual(PROMPTS, return_pair=True, **FAST)
    assert [image.info["dualsafe"] for image in pair.unsafe_images] == ["unsafe original"] * 2
    assert "dualsafe" not in pair.images[0].info


def test_without_dict_the_first_two_are_the_stock_tuple(tiny_dual, seeds):
    images, flagged, unsafe, masks, safety = tiny_dual(
        PROMPTS, return_dict=False, output_type="np", generator=seeds(1, 2), **FAST
    )
    assert images.shape == (2, 16, 16, 3) and flagged is None and unsafe is None
    assert masks.shape[0] == 2 and safety[0].triggers == ("knife",)


def test_the_report_says_what_happened(tiny_dual, seeds):
    output = tiny_dual(PROMPTS, safety_level=["medium", 1.0], scope="words", generator=seeds(7, 8), **FAST)
    assert isinstance(output, DualLatentOutput)
    first, second = (report.to_dict() for report in output.safety)
    assert first["decision"] == "dual" and first["level"] == 0.5 and first["seed"] == 7
    assert first["safe_prompt"] == "a man with a flower, peaceful, calm, everyone unharmed"
    assert first["tau"] == MethodSettings().tau
    assert second["decision"] == "benign" and second["safe_prompt"] is None


def test_the_level_moves_the_picture_from_the_original_to_the_safe_one(tiny_dual, seeds):
    options = {"safe_prompt": ["a dog"], "settings": MethodSettings(tau=0, mask_floor=None), "output_type": "np"}
    images = [
        tiny_dual(PROMPTS[:1], safety_level=level, generator=seeds(1), **options, **FAST).images[0]
        for level in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    distances = [np.abs(image - images[0]).mean() for image in images]
    assert distances == sorted(distances) and distances[1] > 0


def test_safe_embeddings_equal_the_safe_prompt(tiny_dual, seeds):
    safe = ["a man with a flower", "a cat"]
    embeds, _ = tiny_dual.encode_prompt(safe, "cpu", 1, False)
    options = {"output_type": "np", "settings": MethodSettings(mask_floor=None), **FAST}
    by_text = tiny_dual(PROMPTS, safe_prompt=safe, generator=seeds(1, 2), **options).images
    by_embeds = tiny_dual(PROMPTS, safe_prompt_embeds=embeds, generator=seeds(1, 2), **options).images
    assert np.array_equal(by_text, by_embeds)
    prompt_embeds, negative = tiny_dual.encode_prompt(PROMPTS, "cpu", 1, True)
    all_embeds = tiny_dual(
        prompt_embeds=prompt_embeds,
        negative_prompt_embeds=negative,
        safe_prompt_embeds=embeds,
        generator=seeds(1, 2),
        **options,
    ).images
    assert np.array_equal(all_embeds, by_text)


def test_each_of_several_pictures_of_a_prompt_gets_its_own_safe_text(tiny_dual, seeds):
    safe, options = ["a dog", "a house"], {"mask": None, "output_type": "np", **FAST}
    both = tiny_dual(PROMPTS, safe_prompt=safe, num_images_per_prompt=2, generator=seeds(1, 2, 3, 4), **options)
    for i in range(2):
        alone = tiny_dual(
            PROMPTS[i], safe_prompt=safe[i], num_images_per_prompt=2, generator=seeds(2 * i + 1, 2 * i + 2), **options
        )
        assert np.abs(alone.images - both.images[2 * i : 2 * i + 2]).max() <= 1e-4


def test_given_latents_are_the_start_of_both_branches(tiny_dual):
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    stock = StableDiffusionPipeline(**tiny_dual.components, requires_safety_checker=False)
    stock.set_progress_bar_config(disable=True)
    expected = stock(PROMPTS, latents=latents, output_type="np", **FAST).images
    output = tiny_dual(PROMPTS, latents=latents, return_pair=True, output_type="np", **FAST)
    assert np.array_equal(output.unsafe_images, expected)


def test_a_callback_sees_both_branches_stacked(tiny_dual):
    shapes = []

    def look(pipe, step, timestep, tensors):
        shapes.append((tuple(tensors["latents"].shape), len(tensors["prompt_embeds"])))
        return tensors

    inputs = {"callback_on_step_end": look, "callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"]}
    tiny_dual(PROMPTS, **inputs, **FAST, scope="words")
    assert shapes == [((4, 4, 8, 8), 8)] * 4


def test_a_callback_sees_a_first_pass_over_watched_prompts_as_the_stock_pipelines(tiny_dual):
    shapes = []

    def look(pipe, step, timestep, tensors):
        shapes.append(tuple(tensors["latents"].shape))
        return tensors

    flagged = {"settings": MethodSettings(watch=-1.0), "return_pair": True, "max_tries": 0}
    tiny_dual(["a cat", "a dog"], callback_on_step_end=look, **flagged, **FAST)
    assert shapes == [(2, 4, 8, 8)] * 4 + [(4, 4, 8, 8)] * 4


def test_save_load_and_from_pipe_both_ways(tmp_path, seeds):
    stock = tiny.stable_diffusion()
    expected = stock(PROMPTS, generator=seeds(1, 2), output_type="np", **FAST).images
    dual_of(stock).save_pretrained(tmp_path)
    again = DualLatentPipeline.from_pretrained(tmp_path)
    plain = StableDiffusionPipeline.from_pretrained(tmp_path)
    back = StableDiffusionPipeline.from_pipe(again)
    for pipe in (plain, back):
        assert np.allclose(pipe(PROMPTS, generator=seeds(1, 2), output_type="np", **FAST).images, expected, atol=1e-6)
    off = again(PROMPTS, safety_level="off", generator=seeds(1, 2), output_type="np", **FAST)
    assert np.allclose(off.images, expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(tmp_path, seeds, dtype):
    tiny.stable_diffusion().save_pretrained(tmp_path)
    pipe = DualLatentPipeline.from_pretrained(tmp_path, dtype=dtype)
    stock = StableDiffusionPipeline.from_pretrained(tmp_path, dtype=dtype)
    for p in (pipe, stock):
        p.set_progress_bar_config(disable=True)
    expected = stock(PROMPTS, generator=seeds(1, 2), output_type="np", **FAST).images
    output = pipe(PROMPTS, return_pair=True, generator=seeds(1, 2), output_type="np", **FAST)
    assert np.array_equal(output.unsafe_images, expected) and np.isfinite(output.images).all()
    assert DualLatentPipeline.from_pipe(stock).unet.dtype == dtype


def test_another_pipeline_on_the_same_unet_sees_the_module_itself_during_a_call(tiny_dual):
    other = StableDiffusionPipeline(**tiny_dual.components, requires_safety_checker=False)
    module, config = tiny_dual.unet, dict(tiny_dual.config)
    seen = []

    def look(pipe, step, timestep, tensors):
        seen.append(other.unet is module and pipe.unet is not module)
        return tensors

    tiny_dual(PROMPTS, callback_on_step_end=look, **FAST)
    assert all(seen) and tiny_dual.unet is module and dict(tiny_dual.config) == config
    assert not module._forward_hooks and not module._forward_pre_hooks


def test_the_checkpoints_own_safety_checker_runs_on_the_safe_pictures(seeds):
    stock = tiny.stable_diffusion()
    parts = (stock.vae, stock.text_encoder, stock.tokenizer, stock.unet, stock.scheduler)
    pipe = DualLatentPipeline(*parts, *tiny.safety_checker())
    pipe.set_progress_bar_config(disable=True)
    output = pipe(PROMPTS, generator=seeds(1, 2), output_type="np", **FAST)
    assert output.nsfw_content_detected == [True, True]
    assert output.images.max() == 0
