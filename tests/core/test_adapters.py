"""LoRA, textual inversion, IP-Adapter, compiled and sliced components, threads: as with the stock pipeline."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny
import torch
from diffusers import StableDiffusionPipeline
from families import FAMILIES, SAFE, UNSAFE, dual_of
from peft import LoraConfig
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from dualsafe import MethodSettings

WHOLE = MethodSettings(tau=0.0, mask_floor=None)
FAST = {"num_inference_steps": 4, "output_type": "np"}


def both_ends(stock, dual, seeds, **more):
    unsafe = stock(UNSAFE, generator=seeds(1, 2), **FAST, **more).images
    safe = stock(SAFE, generator=seeds(1, 2), **FAST, **more).images
    options = {"safe_prompt": SAFE, "return_pair": True, "settings": WHOLE, "generator": seeds(1, 2)}
    pair = dual(UNSAFE, **options, **FAST, **more)
    assert np.array_equal(pair.unsafe_images, unsafe)
    assert np.allclose(pair.images, safe, atol=1e-5)
    return unsafe


@pytest.fixture
def stock() -> StableDiffusionPipeline:
    return tiny.stable_diffusion()


def test_lora_and_its_scale(stock, seeds):
    plain = both_ends(stock, dual_of(stock), seeds)
    torch.manual_seed(1)
    targets = ["to_q", "to_k", "to_v"]
    stock.unet.add_adapter(LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    adapted = both_ends(stock, dual_of(stock), seeds)
    half = both_ends(stock, dual_of(stock), seeds, cross_attention_kwargs={"scale": 0.5})
    assert not np.array_equal(plain, adapted) and not np.array_equal(half, adapted)


def test_textual_inversion(stock, seeds):
    torch.manual_seed(2)
    before = len(stock.tokenizer)
    stock.load_textual_inversion({"<knife-style>": torch.randn(32)}, token="<knife-style>")
    assert len(stock.tokenizer) == before + 1
    prompts = [f"{prompt} <knife-style>" for prompt in UNSAFE]
    expected = stock(prompts, generator=seeds(1, 2), **FAST).images
    output = dual_of(stock)(prompts, safe_prompt=SAFE, return_pair=True, generator=seeds(1, 2), **FAST)
    assert np.array_equal(output.unsafe_images, expected)


def ip_adapter_weights(pipe: StableDiffusionPipeline) -> dict:
    """Random weights in the layout that `load_ip_adapter` reads."""
    torch.manual_seed(3)
    width, image_width, tokens = 32, 16, 4
    projection = {
        "proj.weight": torch.randn(tokens * width, image_width) * 0.2,
        "proj.bias": torch.zeros(tokens * width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }
    attention = {}
    for i, name in enumerate(n for n in pipe.unet.attn_processors if n.endswith("attn2.processor")):
        hidden = pipe.unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        for kind in ("k", "v"):
            attention[f"{2 * i + 1}.to_{kind}_ip.weight"] = torch.randn(hidden, width) * 0.2
    return {"image_proj": projection, "ip_adapter": attention}


def test_ip_adapter(stock, seeds):
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=37, num_hidden_layers=1, num_attention_heads=4,
        image_size=16, patch_size=8, projection_dim=16,
    )  # fmt: skip
    stock.image_encoder = CLIPVisionModelWithProjection(config).eval()
    stock.feature_extractor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16)
    stock.unet._load_ip_adapter_weights([ip_adapter_weights(stock)])
    stock.set_ip_adapter_scale(1.0)
    picture = FAMILIES["sd-img2img"].options["image"][0]
    shown = both_ends(stock, dual_of(stock), seeds, ip_adapter_image=picture)
    stock.set_ip_adapter_scale(0.0)
    assert not np.array_equal(shown, both_ends(stock, dual_of(stock), seeds, ip_adapter_image=picture))


def test_sliced_and_tiled_decoding(stock, seeds):
    stock.vae.enable_slicing()
    both_ends(stock, dual_of(stock), seeds)
    stock.vae.enable_tiling()
    both_ends(stock, dual_of(stock), seeds)


def test_a_compiled_denoiser(stock, seeds):
    stock.unet.compile(backend="eager")
    both_ends(stock, dual_of(stock), seeds)
    stock.unet = torch.compile(stock.unet, backend="eager")
    both_ends(stock, dual_of(stock), seeds)


def test_two_pipelines_on_the_same_modules_in_two_threads(stock, seeds):
    expected = stock(UNSAFE, generator=seeds(1, 2), **FAST).images
    pipes = [dual_of(tiny.stable_diffusion()) for _ in range(2)]
    for pipe in pipes:
        pipe.unet, pipe.vae, pipe.text_encoder = stock.unet, stock.vae, stock.text_encoder

    def pair(pipe):
        return pipe(UNSAFE, safe_prompt=SAFE, return_pair=True, generator=seeds(1, 2), **FAST)

    alone = pair(pipes[0])
    with ThreadPoolExecutor(2) as pool:
        for output in pool.map(pair, pipes * 3):
            assert np.array_equal(output.unsafe_images, expected) and np.array_equal(output.images, alone.images)


def test_one_pipeline_in_two_threads_takes_turns(stock, seeds):
    dual = dual_of(stock)

    def pair(_):
        return dual(UNSAFE, safe_prompt=SAFE, return_pair=True, generator=seeds(1, 2), **FAST)

    alone = pair(0)
    with ThreadPoolExecutor(3) as pool:
        for output in pool.map(pair, range(6)):
            assert np.array_equal(output.unsafe_images, alone.unsafe_images)
            assert np.array_equal(output.images, alone.images)


def test_a_pipeline_called_from_inside_its_own_call_is_refused(stock):
    dual = dual_of(stock)

    def again(pipe, step, timestep, tensors):
        dual(UNSAFE, safe_prompt=SAFE, **FAST)

    with pytest.raises(RuntimeError, match="inside its own call"):
        dual(UNSAFE, safe_prompt=SAFE, callback_on_step_end=again, **FAST)
    assert np.isfinite(dual(UNSAFE, safe_prompt=SAFE, **FAST).images).all()


def test_config_and_settings_can_be_pickled(stock):
    dual = dual_of(stock)
    assert pickle.loads(pickle.dumps(dual.config)) == dual.config
    assert pickle.loads(pickle.dumps(MethodSettings(tau=0.2))) == MethodSettings(tau=0.2)


def test_an_interrupt_keeps_what_was_made_safe_so_far(stock, seeds):
    def stop(pipe, step, timestep, tensors):
        pipe._interrupt = step == 1
        return tensors

    output = dual_of(stock)(UNSAFE, safe_prompt=SAFE, settings=WHOLE, callback_on_step_end=stop, **FAST)
    assert output.safety[0].denoiser_rows == 4
    assert np.isfinite(output.images).all()
