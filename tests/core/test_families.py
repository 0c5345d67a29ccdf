"""The contract that every family keeps, on tiny random weights of the real classes."""

from __future__ import annotations

import inspect
import runpy
from functools import partial
from pathlib import Path

import diffusers
import numpy as np
import pytest
import tiny
import torch
from diffusers import DiffusionPipeline
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from families import (
    FAMILIES,
    OF_THE_SAME_CALLS,
    SAFE,
    STEPS,
    UNSAFE,
    WHOLE,
    Family,
    both_ends,
    dual_of,
    every,
    in_turn,
)  # fmt: skip
from PIL import Image
from reference import in_two_loops

from dualsafe import MethodSettings
from dualsafe.config import UNCALIBRATED
from dualsafe.pipelines.dual import DualLatentMixin

DOCS = Path(__file__).resolve().parents[2] / "docs"
CONDITIONS = {
    "max_sequence_length", "clean_caption", "complex_human_instruction", "system_prompt", "text_encoder_out_layers",
}  # fmt: skip
"""Arguments of a call that say how texts are encoded."""


@pytest.fixture(scope="module", params=every(slow={"flux-2"}))  # whose loop is Klein's
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


in_ways_of_their_own = pytest.mark.parametrize("family", every(slow=OF_THE_SAME_CALLS), indirect=True)


@pytest.fixture(scope="module")
def stock(family: Family) -> DiffusionPipeline:
    return family.make()


@pytest.fixture
def dual(stock: DiffusionPipeline) -> DualLatentMixin:
    return dual_of(stock)


@pytest.fixture(scope="module")
def expected(family: Family, stock: DiffusionPipeline, seeds) -> np.ndarray:
    """Stock's pictures of the unsafe prompts."""
    return family.images(stock, UNSAFE, generator=seeds(1, 2))


def _picture(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


@in_ways_of_their_own
def test_off_is_stock_at_the_stock_cost(family, expected, dual, seeds):
    off = family.call(dual, UNSAFE, safety_level="off", generator=seeds(1, 2))
    assert np.array_equal(off.images, expected) and off.unsafe_images is None
    for pair, branches in ((True, 2), (False, 1)):  # nothing of the original is in a picture that is safe altogether
        options = {"settings": WHOLE, "return_pair": pair, "generator": seeds(1, 2)}
        whole = family.call(dual, UNSAFE, safe_prompt=SAFE, **options)
        assert whole.safety[0].denoiser_rows == branches * off.safety[0].denoiser_rows


def test_both_ends_are_stock_pictures(family, stock, dual, seeds):
    both_ends(family, stock, dual, seeds)


def test_a_benign_prompt_in_a_mixed_batch_is_stock(family, stock, dual, seeds):
    prompts = [UNSAFE[0], "a man with a water gun"]
    expected = family.images(stock, prompts, generator=seeds(1, 2))
    output = family.call(dual, prompts, policy="picto", scope="words", generator=seeds(1, 2))
    assert [report.decision for report in output.safety] == ["dual", "benign"]
    assert np.array_equal(output.images[1], expected[1])


@in_ways_of_their_own
def test_a_batch_equals_its_parts(family, dual, seeds):
    levels = [0.4, 1.0]
    batch = family.images(dual, UNSAFE, safe_prompt=SAFE, safety_level=levels, settings=WHOLE, generator=seeds(1, 2))
    alone = family.images(dual, UNSAFE[:1], safe_prompt=SAFE[:1], safety_level=0.4, settings=WHOLE, generator=seeds(1))
    assert np.abs(batch[0] - alone[0]).max() <= 1e-4


@in_ways_of_their_own
def test_negative_prompts_and_no_guidance(family, stock, dual, seeds):
    if "negative_prompt" in inspect.signature(type(stock).__call__).parameters:
        both_ends(family, stock, dual, seeds, negative_prompt=["blurry", "dark"])
    both_ends(family, stock, dual, seeds, guidance_scale=dual.pattern.no_guidance)


@pytest.mark.parametrize("name", every(slow=OF_THE_SAME_CALLS))
def test_half_the_weight_in_a_mask_is_what_two_stock_loops_and_the_equations_say(name, seeds):
    family, stock = FAMILIES[name], FAMILIES[name].make()
    in_the_middle(family, stock, dual_of(stock), seeds, guidance_scale=30.0)  # random weights hardly heed texts


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("lumina-2", {"guidance_scale": 30.0}),
        ("qwen-image", {"true_cfg_scale": 300.0}),
        ("z-image", {"guidance_scale": 300.0, "cfg_normalization": 0.8}),
    ],
)
def test_the_middle_where_guidance_is_rescaled_and_far_from_linear(name, more, seeds):
    stock = FAMILIES[name].make()
    moved = in_the_middle(FAMILIES[name], stock, dual_of(stock), seeds, **more)
    assert moved > 0.03  # a sum in each guidance group would be off by more than is let pass


def in_the_middle(family, stock, dual, seeds, **more) -> float:
    """By how much half the weight moves latents, as the dual call and two stock loops agree."""
    mask = torch.zeros(16, 16)
    mask[:, :8] = 1.0
    settings = MethodSettings(tau=0.0, latent_gate=None, dial=UNCALIBRATED)
    told = {"safe_prompt": SAFE, "safety_level": 0.5, "settings": settings, "mask": mask, "return_pair": True}
    found = family.call(dual, UNSAFE, **told, **more, output_type="latent", generator=seeds(1, 2))

    called = partial(family.call, output_type="latent", **more)
    original, expected = in_two_loops(
        stock, lambda pipe, prompts: called(pipe, prompts, generator=seeds(1, 2)).images, UNSAFE, SAFE, family.flow
    )
    moved = float((expected - original).abs().max())
    assert torch.equal(found.unsafe_images, original) and moved > 1e-4
    assert torch.allclose(found.images, expected, atol=0.02 * moved)
    return moved


@in_ways_of_their_own
def test_guidance_rescale(family, stock, dual, seeds):
    if "guidance_rescale" not in inspect.signature(type(stock).__call__).parameters:
        pytest.skip("stock has none")
    both_ends(family, stock, dual, seeds, guidance_rescale=0.7)


@in_ways_of_their_own
@pytest.mark.parametrize("strength", [0.25, pytest.param(0.5, marks=pytest.mark.slow), 1.0])
def test_strengths(family, stock, dual, seeds, strength):
    if "strength" not in family.options:
        pytest.skip("text to image")
    both_ends(family, stock, dual, seeds, strength=strength, num_inference_steps=8)


@pytest.mark.parametrize(("family", "dtype"), in_turn((torch.float16, torch.bfloat16)), indirect=["family"], ids=str)
def test_half_precision(family, seeds, dtype):
    stock = family.make().to(dtype)
    expected = family.images(stock, UNSAFE, generator=seeds(1, 2))
    options = {"safe_prompt": SAFE, "return_pair": True, "settings": WHOLE, "generator": seeds(1, 2)}
    output = family.call(dual_of(stock), UNSAFE, **options)
    assert np.array_equal(output.unsafe_images, expected) and np.isfinite(output.images).all()
    assert not np.array_equal(output.images, output.unsafe_images)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="offload needs an accelerator")
@pytest.mark.parametrize("offload", ["enable_model_cpu_offload", "enable_sequential_cpu_offload"])
def test_offload(family, seeds, offload):
    stock = family.make()
    getattr(stock, offload)()
    expected = family.images(stock, UNSAFE, generator=seeds(1, 2))
    pipe = dual_of(family.make())
    getattr(pipe, offload)()
    output = family.call(pipe, UNSAFE, safe_prompt=SAFE, return_pair=True, generator=seeds(1, 2))
    assert np.array_equal(output.unsafe_images, expected)


@in_ways_of_their_own
def test_one_generator_for_several_pictures_of_a_prompt(family, stock, dual):
    # Where there is a picture to start from, stock repeats lists of them in another order than prompts.
    options = {} if "strength" in family.options else {"num_images_per_prompt": 2}
    expected = family.images(stock, UNSAFE, generator=torch.Generator().manual_seed(3), **options)
    told = {"safe_prompt": SAFE, "return_pair": True, "generator": torch.Generator().manual_seed(3)}
    assert np.array_equal(family.call(dual, UNSAFE, **told, **options).unsafe_images, expected)


@in_ways_of_their_own
def test_prompt_embeds(family, stock, dual, seeds):
    def embeds(prompts, prefix=""):
        wanted = inspect.signature(stock.encode_prompt).parameters
        options = {"prompt": prompts, "device": tiny.DEVICE, "num_images_per_prompt": 1}
        options["do_classifier_free_guidance"] = True
        options |= {name: family.options[name] for name in CONDITIONS & family.options.keys()}
        options["prompt"] = list(prompts)
        needed = {n: options.get(n) for n, p in wanted.items() if n in options or p.default is p.empty}
        found = stock.encode_prompt(**needed)
        return {prefix + name: value for name, value in zip(dual.pattern.embeds, found) if name}

    # Embeddings say no word, so that the prompts to be compared say none of the policy's either.
    prompts = ["a man with a drum", "a cat in a hat"]
    expected = family.images(dual, prompts, safe_prompt=SAFE, generator=seeds(1, 2), guidance_scale=4.0)
    safe = {k: v for k, v in embeds(SAFE, "safe_").items() if "negative" not in k and v is not None}
    safe = {"safe_prompt_attention_mask" if "mask" in k else k: v for k, v in safe.items()}
    each = {k: v for k, v in family.options.items() if k != "negative_prompt"} | {
        "num_inference_steps": family.options.get("num_inference_steps", STEPS)
    }
    if "negative_prompt" in inspect.signature(type(stock).__call__).parameters:
        each["negative_prompt"] = None  # some say "" where none is given, and refuse embeddings beside it
    if "negative_prompt" in family.options:
        each |= {f"negative_{k}": v for k, v in embeds(family.options["negative_prompt"]).items()}
    output = dual(**embeds(prompts), **safe, **each, output_type="np", generator=seeds(1, 2), guidance_scale=4.0)
    assert np.allclose(output.images, expected, atol=1e-5)


@pytest.mark.parametrize(("family", "kind"), in_turn(("pil", "pt", "latent")), indirect=["family"])
def test_output_types_have_the_stock_form(family, stock, dual, seeds, kind):
    expected = family.images(stock, UNSAFE, output_type=kind, generator=seeds(1, 2))
    output = family.call(dual, UNSAFE, safe_prompt=SAFE, return_pair=True, output_type=kind, generator=seeds(1, 2))
    if kind == "pil":
        assert [np.array_equal(a, b) for a, b in zip(output.unsafe_images, expected)] == [True, True]
    else:
        assert output.images.shape == expected.shape and torch.equal(output.unsafe_images, expected)


@in_ways_of_their_own
def test_a_callback_sees_every_tensor_of_both_branches(family, dual):
    if not hasattr(dual, "_callback_tensor_inputs"):
        pytest.skip("stock has an older callback, which sees latents")
    names = [name for name in dual._callback_tensor_inputs if name != "masked_image_latents"]
    seen = []

    def look(pipe, step, timestep, tensors):
        seen.append({name: len(tensor) for name, tensor in tensors.items()})
        return tensors

    inputs = {"callback_on_step_end": look, "callback_on_step_end_tensor_inputs": names}
    family.call(dual, UNSAFE, safe_prompt=SAFE, **inputs)
    assert seen and all(step["latents"] == 4 for step in seen)


@in_ways_of_their_own
def test_a_call_that_raises_leaves_everything_as_it_was(family, expected, stock, dual, seeds):
    state = {name for name in dual.__dict__ if not name.startswith("_")}

    def stop(*_):
        raise RuntimeError("stop")

    callback = "callback_on_step_end" if hasattr(dual, "_callback_tensor_inputs") else "callback"
    with pytest.raises(RuntimeError, match="stop"):
        family.call(dual, UNSAFE, safe_prompt=SAFE, **{callback: stop})
    assert {name for name in dual.__dict__ if not name.startswith("_")} == state
    assert np.array_equal(family.images(stock, UNSAFE, generator=seeds(1, 2)), expected)


@in_ways_of_their_own
def test_save_and_load(family, expected, stock, dual, seeds, tmp_path):
    dual.save_pretrained(tmp_path)
    for loaded in (
        type(dual).from_pretrained(tmp_path),
        type(stock).from_pretrained(tmp_path),
        type(stock).from_pipe(dual),
    ):
        tiny.quiet(loaded)
        options = {"safety_level": 0} if isinstance(loaded, DualLatentMixin) else {}
        assert np.allclose(family.images(loaded, UNSAFE, generator=seeds(1, 2), **options), expected, atol=1e-6)


@in_ways_of_their_own
def test_composite_keeps_what_is_outside_the_mask(family, dual, seeds):
    settings = MethodSettings(mask_floor=0.01, composite=True)
    output = family.call(dual, UNSAFE, safe_prompt=SAFE, return_pair=True, settings=settings, generator=seeds(1, 2))
    outside = np.broadcast_to(output.masks == 0, output.images.shape)
    assert np.array_equal(output.images[outside], output.unsafe_images[outside])


@pytest.mark.parametrize(
    "more",
    [
        {"guess_mode": True},
        {"control_guidance_end": 0.5, "controlnet_conditioning_scale": 0.5},
        {"height": None, "width": None, "image": [_picture(24, 16)] * 2},
        {"image": _picture(16, 16)},
    ],
    ids=lambda more: next(iter(more)),
)
@pytest.mark.parametrize("name", ["sd-controlnet", "xl-controlnet"])
def test_what_a_controlnet_is_told(name, more, seeds):
    stock = FAMILIES[name].make()
    both_ends(FAMILIES[name], stock, dual_of(stock), seeds, **more)


def test_several_controlnets(seeds):
    family, stock = FAMILIES["sd-controlnet"], FAMILIES["sd-controlnet"].make()
    nets = MultiControlNetModel([stock.controlnet, tiny.controlnet(stock.unet, seed=1)])
    several = tiny.quiet(type(stock).from_pipe(stock, controlnet=nets))
    more = {"image": [_picture(16, 16), _picture(16, 16, seed=1)], "controlnet_conditioning_scale": [1.0, 0.5]}
    for prompt, safe in zip(UNSAFE, SAFE):
        expected = several(
            [prompt], **family.options | more, num_inference_steps=4, output_type="np", generator=seeds(1)
        )
        given = {"safe_prompt": [safe], "return_pair": True, "settings": WHOLE, "num_inference_steps": 4}
        pair = dual_of(several)([prompt], **family.options | more, **given, output_type="np", generator=seeds(1))
        assert np.array_equal(pair.unsafe_images, expected.images)
        assert not np.array_equal(pair.images, expected.images)


def test_a_picture_drawn_in_one_of_the_models_own_resolutions(seeds):
    family = Family(
        lambda: tiny.pixart_sigma(sample_size=32, blocks=4), {"height": 96, "width": 128, "max_sequence_length": 48}
    )
    stock = family.make()
    both_ends(family, stock, dual_of(stock), seeds, num_inference_steps=2)
    with pytest.raises(ValueError, match="use_resolution_binning=False"):
        family.call(dual_of(stock), UNSAFE, latents=torch.zeros(2, 4, 48, 64))


def test_every_class_is_in_the_contract_and_the_table_of_the_docs_is_the_registrys():
    made = {type(dual_of(family.make())) for family in FAMILIES.values()}
    assert made == set(DualLatentMixin.families)
    page = runpy.run_path(str(DOCS / "families.py"))
    text = (DOCS / "families.md").read_text(encoding="utf-8")
    assert page["written"](text) == text


@pytest.mark.parametrize("name", ["lumina-2", "qwen-image", "z-image", "flux-2", "flux-2-klein"])
def test_a_preview_in_the_last_step_sees_the_picture_that_is_guided(name, seeds):
    family, shown = FAMILIES[name], []
    stock = family.make()

    def look(pictures):
        shown.extend(pictures)
        return [False] * len(pictures)

    options = {"num_inference_steps": 2, "output_type": "pil"}
    expected = family.images(stock, ["a cat"], generator=seeds(1), **options)[0]
    settings = MethodSettings(preview=0.02, watch=1.0)
    drawn = family.images(dual_of(stock), ["a cat"], preview=look, settings=settings, generator=seeds(1), **options)
    assert np.array_equal(drawn[0], expected) and len(shown) == 1
    assert np.abs(np.asarray(shown[0], int) - np.asarray(expected, int)).max() <= 1


def test_reference_pictures_reach_both_branches(seeds):
    family, stock = FAMILIES["flux-2-klein"], FAMILIES["flux-2-klein"].make()
    plain, image = family.images(stock, UNSAFE, generator=seeds(1, 2)), [_picture(64, 64)]
    both_ends(family, stock, dual_of(stock), seeds, image=image)
    assert not np.array_equal(family.images(stock, UNSAFE, image=image, generator=seeds(1, 2)), plain)


def test_guidance_that_stops_on_the_way_or_never_starts(seeds):
    stock = tiny.flux_2_klein(distilled=True)
    both_ends(FAMILIES["flux-2-klein"], stock, dual_of(stock), seeds)
    family, stock = FAMILIES["z-image"], FAMILIES["z-image"].make()
    both_ends(family, stock, dual_of(stock), seeds, cfg_truncation=0.3)
    family, stock = FAMILIES["lumina-2"], FAMILIES["lumina-2"].make()
    both_ends(family, stock, dual_of(stock), seeds, cfg_trunc_ratio=0.5)


@pytest.mark.parametrize("name", ["lumina-2", "z-image", "flux-2-klein"])
def test_what_the_text_around_a_prompt_leaves_no_room_for_is_not_read(name):
    stock = dual_of(FAMILIES[name].make())._stock()
    given = stock.arguments((), {"prompt": "a man"} | FAMILIES[name].options)
    assert stock.reads(given, "a" * 20) and not stock.reads(given, "a" * 46)  # 48 tokens, with start and end


def test_what_the_method_cannot_honour_is_refused():
    flux, sd3, inpaint = (dual_of(FAMILIES[name].make()) for name in ("flux", "sd3", "sd-inpaint"))
    with pytest.raises(ValueError, match="skip_guidance_layers"):
        FAMILIES["sd3"].call(sd3, UNSAFE, skip_guidance_layers=[0])
    with pytest.raises(ValueError, match="padding_mask_crop"):
        FAMILIES["sd-inpaint"].call(inpaint, UNSAFE, padding_mask_crop=8)
    with pytest.raises(ValueError, match="caption_upsample_temperature"):
        FAMILIES["flux-2"].call(dual_of(FAMILIES["flux-2"].make()), UNSAFE, caption_upsample_temperature=0.5)
    with pytest.raises(ValueError, match="latents has shape"):
        FAMILIES["flux"].call(flux, UNSAFE, latents=torch.zeros(2, 4, 8, 8))
    with pytest.raises(ValueError, match="safe_pooled_prompt_embeds is needed"):
        FAMILIES["flux"].call(flux, UNSAFE, safe_prompt_embeds=torch.zeros(2, 512, 32))
    pipe = FAMILIES["sd1"].make()
    pipe.scheduler = diffusers.EDMEulerScheduler()
    with pytest.raises(ValueError, match="EDMEulerScheduler"):
        FAMILIES["sd1"].call(dual_of(pipe), UNSAFE)


def test_the_second_prompt_is_read_by_the_policy_too(seeds):
    family = FAMILIES["xl"]
    pipe = dual_of(family.make())
    second, words = ["a man with a knife", "a cat"], {"policy": "picto", "scope": "words"}
    output = family.call(pipe, ["a man", "a cat"], prompt_2=second, **words)
    assert [report.decision for report in output.safety] == ["dual", "benign"]
    assert output.safety[0].triggers == ("knife",)
