"""What users plug into a pipeline: it works as in the stock pipeline, or is refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from diffusers import (
    AutoencoderTiny,
    DiffusionPipeline,
    FirstBlockCacheConfig,
    MagCacheConfig,
    ModelMixin,
    PyramidAttentionBroadcastConfig,
)
from diffusers.callbacks import (
    MultiPipelineCallbacks,
    SD3CFGCutoffCallback,
    SDCFGCutoffCallback,
    SDXLCFGCutoffCallback,
)
from families import FAMILIES, SAFE, STEPS, UNSAFE, dual_of
from peft import LoraConfig

from dualsafe import MethodSettings

WHOLE = MethodSettings(tau=0.0, mask_floor=None)


def both_ends(
    stock: DiffusionPipeline, name: str, seeds: Callable, dual: DiffusionPipeline | None = None, **more: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Stock's pictures of both prompts, which a dual call's two halves must be."""
    family, dual, more = FAMILIES[name], dual or dual_of(stock), {"num_inference_steps": 6} | more
    unsafe, safe = (family.images(stock, prompts[:1], generator=seeds(1), **more) for prompts in (UNSAFE, SAFE))
    options = {"safe_prompt": SAFE[:1], "return_pair": True, "settings": WHOLE, **more}
    pair = family.call(dual, UNSAFE[:1], generator=seeds(1), **options)
    assert np.array_equal(pair.unsafe_images, unsafe)
    assert np.allclose(pair.images, safe, atol=1e-5) and not np.array_equal(unsafe, safe)
    off = family.call(dual, UNSAFE[:1], generator=seeds(1), safety_level=0, **more)
    assert np.array_equal(off.images, unsafe)
    return unsafe, safe


# Callbacks


@pytest.mark.parametrize(
    ("name", "callback"), [("sd1", SDCFGCutoffCallback), ("xl", SDXLCFGCutoffCallback), ("sd3", SD3CFGCutoffCallback)]
)
def test_diffusers_own_cutoff_of_guidance(name, callback, seeds):
    stock = FAMILIES[name].make()
    plain, _ = both_ends(stock, name, seeds)
    cut, _ = both_ends(stock, name, seeds, callback_on_step_end=callback(cutoff_step_ratio=0.4))
    assert not np.array_equal(cut, plain)
    several = MultiPipelineCallbacks([callback(cutoff_step_ratio=0.4)])
    again, _ = both_ends(stock, name, seeds, callback_on_step_end=several)
    assert np.array_equal(again, cut)


def test_an_own_cutoff_that_keeps_both_branches_works_and_one_that_does_not_is_refused(seeds):
    def half(pipe, step, timestep, tensors):
        if step == 2:
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[-1]
            pipe._guidance_scale = 0.0
        return tensors

    def last(pipe, step, timestep, tensors):
        if step == 2:
            tensors["prompt_embeds"] = tensors["prompt_embeds"][-1:]
            pipe._guidance_scale = 0.0
        return tensors

    stock = FAMILIES["sd1"].make()
    options = {"callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    both_ends(stock, "sd1", seeds, callback_on_step_end=half, **options)
    with pytest.raises(ValueError, match=r"encoder_hidden_states has shape \(1, 48, 32\)"):
        both_ends(stock, "sd1", seeds, callback_on_step_end=last, **options)


def test_a_callback_that_changes_the_number_of_latents_is_refused(seeds):
    def more(pipe, step, timestep, tensors):
        return {"latents": torch.cat([tensors["latents"], tensors["latents"][:1]])}

    options = {"safe_prompt": SAFE, "callback_on_step_end": more, "settings": WHOLE}
    with pytest.raises(ValueError, match="whole batches of 2 samples"):
        FAMILIES["sd1"].call(dual_of(FAMILIES["sd1"].make()), UNSAFE, guidance_scale=1.0, **options)


def with_lora(stock: DiffusionPipeline) -> DiffusionPipeline:
    torch.manual_seed(1)
    for name in ("one", "two"):
        config = LoraConfig(r=4, target_modules=["to_q", "to_k", "to_v"], init_lora_weights=False)
        stock.unet.add_adapter(config, adapter_name=name)
    return stock


def test_a_lora_that_a_callback_switches_or_disables(seeds):
    stock = with_lora(FAMILIES["sd1"].make())
    seen = []

    def switch(pipe, step, timestep, tensors):
        pipe.set_adapters("one" if step % 2 else "two")
        return tensors

    def disable(pipe, step, timestep, tensors):
        seen.append(isinstance(pipe.unet, ModelMixin))
        pipe.disable_lora() if step == 2 else pipe.enable_lora()
        return tensors

    stock.set_adapters("one")
    steady, _ = both_ends(stock, "sd1", seeds)
    for callback in (switch, disable):

        def fresh(pipe, step, timestep, tensors, callback=callback):
            return callback(pipe, step, timestep, tensors)

        stock.set_adapters("one")
        stock.enable_lora()
        family, dual = FAMILIES["sd1"], dual_of(stock)
        options = {"num_inference_steps": 6, "callback_on_step_end": fresh}
        expected = family.images(stock, UNSAFE[:1], generator=seeds(1), **options)
        stock.set_adapters("one")
        stock.enable_lora()
        pair = family.call(
            dual, UNSAFE[:1], safe_prompt=SAFE[:1], return_pair=True, settings=WHOLE, generator=seeds(1), **options
        )
        assert np.array_equal(pair.unsafe_images, expected) and not np.array_equal(expected, steady)
        stock.set_adapters("one")
        stock.enable_lora()
        off = family.images(dual, UNSAFE[:1], safety_level=0, generator=seeds(1), **options)
        assert np.array_equal(off, expected)
    assert seen and all(seen)


def test_a_lora_switched_between_calls(seeds):
    stock = with_lora(FAMILIES["sd1"].make())
    dual, found = dual_of(stock), []
    for adapters in ("one", "two", ["one", "two"]):
        dual.set_adapters(adapters)
        found.append(both_ends(stock, "sd1", seeds)[0])
    assert len({picture.tobytes() for picture in found}) == 3


def test_what_is_set_on_the_denoiser_in_a_call_is_set_on_the_model(seeds):
    stock = FAMILIES["sd1"].make()

    def mark(pipe, step, timestep, tensors):
        pipe.unet.marked = step
        del pipe.unet.marked
        pipe.unet.remembered = step
        return tensors

    FAMILIES["sd1"].call(dual_of(stock), UNSAFE, safe_prompt=SAFE, callback_on_step_end=mark)
    assert stock.unet.remembered == STEPS - 1 and not hasattr(stock.unet, "marked")


# How the denoiser is called


@pytest.mark.parametrize("name", ["sd1", "xl", "sd3", "flux"])
def test_the_denoiser_is_called_as_the_stock_pipeline_calls_it(name, seeds):
    stock, seen = FAMILIES[name].make(), []
    dual = dual_of(stock)
    model = getattr(stock, dual.denoiser_name)

    def look(module, args, kwargs):
        seen.append((len(args), sorted(kwargs), kwargs.get("return_dict")))

    handle = model.register_forward_pre_hook(look, with_kwargs=True)
    FAMILIES[name].images(stock, UNSAFE)
    as_stock = {str(call) for call in seen}
    seen.clear()
    FAMILIES[name].images(dual, UNSAFE, safe_prompt=SAFE)
    handle.remove()
    assert {str(call) for call in seen} == as_stock and len(as_stock) == 1


def test_a_wrapped_forward(seeds):
    stock = FAMILIES["sd1"].make()
    forward, sizes = stock.unet.forward, []

    def wrapped(*args, **kwargs):
        sizes.append(args[0].shape[2:])
        return forward(*args, **kwargs)

    stock.unet.forward = wrapped
    both_ends(stock, "sd1", seeds)
    assert set(sizes) == {(8, 8)}


# Caches


def test_a_first_block_cache_is_kept_for_each_branch(seeds):
    stock = FAMILIES["flux"].make()
    plain, _ = both_ends(stock, "flux", seeds)
    stock.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.9))
    cached, _ = both_ends(stock, "flux", seeds)
    assert not np.array_equal(plain, cached)  # it does leave blocks out
    # A sample that leaves changes what the safe branch's rows are.
    settings = MethodSettings(mask_floor=1e-6, tau=0.0)
    options = {"safe_prompt": [SAFE[0], "a cat"], "settings": settings, "num_inference_steps": 12}
    dropped = FAMILIES["flux"].call(dual_of(stock), [UNSAFE[0], "a cat"], generator=seeds(1, 2), **options)
    assert [report.gate for report in dropped.safety] == ["given", "latent"]


@pytest.mark.parametrize(
    "config",
    [
        MagCacheConfig(mag_ratios=[1.0] * 6, num_inference_steps=6),
        PyramidAttentionBroadcastConfig(2, current_timestep_callback=lambda: 500),
    ],
    ids=lambda config: type(config).__name__,
)
def test_a_cache_that_can_not_be_kept_apart_is_refused(config, seeds):
    stock = FAMILIES["flux"].make()
    stock.transformer.enable_cache(config)
    dual = dual_of(stock)
    with pytest.raises(ValueError, match=f"caches by {type(config).__name__}.*FirstBlockCacheConfig"):
        FAMILIES["flux"].call(dual, UNSAFE, safe_prompt=SAFE)
    off = FAMILIES["flux"].images(dual, UNSAFE, safety_level=0, generator=seeds(1, 2))
    assert np.array_equal(off, FAMILIES["flux"].images(stock, UNSAFE, generator=seeds(1, 2)))


def test_third_party_caches_are_refused_by_name():
    stock = FAMILIES["sd1"].make()
    forward = stock.unet.forward

    def wrapped_forward(*args, **kwargs):
        return forward(*args, **kwargs)

    wrapped_forward.__module__ = "DeepCache.extension.deepcache"
    stock.unet.forward = wrapped_forward
    with pytest.raises(ValueError, match="patched by DeepCache"):
        FAMILIES["sd1"].call(dual_of(stock), UNSAFE, safe_prompt=SAFE)
    FAMILIES["sd1"].call(dual_of(stock), UNSAFE, safety_level=0)
    del stock.unet.forward
    stock.unet._is_cached = True  # as cache-dit and ParaAttention mark it
    with pytest.raises(ValueError, match="caching library"):
        FAMILIES["sd1"].call(dual_of(stock), UNSAFE, safe_prompt=SAFE)


# Changed models


def test_free_u(seeds):
    stock = FAMILIES["sd1"].make()
    plain, _ = both_ends(stock, "sd1", seeds)
    stock.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6)
    free, _ = both_ends(stock, "sd1", seeds)
    stock.disable_freeu()
    assert not np.array_equal(free, plain)


def test_a_tiny_autoencoder(seeds):
    stock = FAMILIES["sd1"].make()
    plain, _ = both_ends(stock, "sd1", seeds)
    dual = dual_of(stock)  # from_pipe of a class that names another autoencoder does not take it over
    stock.vae = dual.vae = AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    ).eval()  # fmt: skip
    other, _ = both_ends(stock, "sd1", seeds, dual)
    assert other.shape == plain.shape and not np.array_equal(other, plain)


def test_token_merging(seeds):
    tomesd = pytest.importorskip("tomesd")
    stock = FAMILIES["sd1"].make()
    plain, _ = both_ends(stock, "sd1", seeds)
    tomesd.apply_patch(stock, ratio=0.5, max_downsample=8, use_rand=False)
    merged, _ = both_ends(stock, "sd1", seeds)
    assert not np.array_equal(merged, plain)


def test_a_quantised_denoiser(seeds):
    torchao = pytest.importorskip("torchao.quantization")
    stock = tiny.stable_diffusion()
    plain, _ = both_ends(stock, "sd1", seeds)
    torchao.quantize_(stock.unet, torchao.Int8WeightOnlyConfig())
    quantised, _ = both_ends(stock, "sd1", seeds)
    assert not np.array_equal(quantised, plain)
