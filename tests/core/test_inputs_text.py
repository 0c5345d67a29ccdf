"""Prompts of every kind: learned tokens, long embeddings, broken characters, numbers of other libraries."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tiny
import torch
from conftest import dual_of
from diffusers import StableDiffusionXLImg2ImgPipeline, UNet2DConditionModel
from families import FAMILIES
from families import dual_of as any_dual_of

from dualsafe import DualLatentPipeline, Policy, PolicyViolation
from dualsafe.policy import find, refuse_sexualised_minors, resolve, rewrite
from dualsafe.policy.fold import fold

PROMPT = "a man with a knife"
FAST = {"num_inference_steps": 4, "output_type": "np", "policy": "picto"}
SURROGATE = "a cat \udc41 here"


def policy_of(*terms: str, block: bool = False) -> Policy:
    concepts = [{"term": term, "counterpart": "flower"} for term in terms]
    category = {"description": "", "concepts": concepts, "block": block}
    return Policy.from_data({"id": "own", "version": 1, "description": "", "categories": {"own": category}}, "own")


# Tokens that a text encoder has learned


def test_a_learned_token_stays_whole():
    fire = policy_of("fire")
    assert (
        rewrite(fire, "a house in <fire-style>, on fire", ["<fire-style>"]).text
        == "a house in <fire-style>, on a flower"
    )
    assert [m.start for m in find(fire, "fire <fire-style> fire", ["<fire-style>"])] == [0, 18]
    assert rewrite(fire, "a house in <fire-style>").triggers  # nobody has learned it
    assert not rewrite(fire, "a <my-fire> and <fire-style>", ["<fire", "<fire-style>", "<my-fire>"]).triggers


def test_a_learned_token_that_is_itself_a_term_is_found():
    assert rewrite(policy_of("<fire-style>"), "a house in <fire-style>", ["<fire-style>"]).triggers
    assert rewrite(policy_of("fire"), "a house on fire", ["fire"]).triggers


@pytest.mark.parametrize("name", ["sd1", "xl"])
def test_a_textual_inversion_named_like_a_term_is_kept(name):
    pipe = any_dual_of(FAMILIES[name].make())
    pipe.tokenizer.add_tokens("<knife-style>")
    for encoder in ("text_encoder", "text_encoder_2") if name == "xl" else ("text_encoder",):
        getattr(pipe, encoder).resize_token_embeddings(len(pipe.tokenizer))
    output = FAMILIES[name].call(
        pipe, ["a man in <knife-style>", "a <knife-style> man with a knife"], policy="picto", scope="words"
    )
    assert [report.safe_prompt for report in output.safety] == [None, "a <knife-style> man with a flower"]


# Long embeddings


def windows(pipe: DualLatentPipeline, texts: list[str], count: int) -> torch.Tensor:
    """Embeddings of the texts in a row, the empty text in the windows that are left, as compel makes them."""
    empty = pipe.encode_texts([""])["prompt_embeds"]
    each = [pipe.encode_texts([text])["prompt_embeds"] for text in texts]
    return torch.cat([*each, *[empty] * (count - len(each))], 1)


def test_a_safe_text_beside_long_embeddings_is_padded_with_empty_windows(seeds):
    pipe = dual_of(tiny.stable_diffusion())
    told = {
        "prompt_embeds": windows(pipe, [PROMPT, "in a park"], 2),
        "negative_prompt_embeds": windows(pipe, [""], 2),
    }
    by_text = pipe(**told, safe_prompt="a man with a flower", generator=seeds(1), **FAST)
    safe = windows(pipe, ["a man with a flower"], 2)
    by_embeds = pipe(**told, safe_prompt_embeds=safe, generator=seeds(1), **FAST)
    assert safe.shape[1] == 96 and np.array_equal(by_text.images, by_embeds.images)


def test_embeddings_of_no_number_of_windows_say_what_to_pass(seeds):
    pipe = dual_of(tiny.stable_diffusion())
    cut = {name: windows(pipe, [PROMPT], 2)[:, :60] for name in ("prompt_embeds", "negative_prompt_embeds")}
    with pytest.raises(
        ValueError, match="prompt_embeds has 60 tokens, and safe_prompt as text 48: give safe_prompt_emb"
    ):
        pipe(**cut, safe_prompt="a man with a flower", **FAST)
    flux = any_dual_of(FAMILIES["flux"].make())
    embeds = flux.encode_texts([PROMPT])
    twice = embeds | {"prompt_embeds": torch.cat([embeds["prompt_embeds"]] * 2, 1)}
    with pytest.raises(ValueError, match="give safe_prompt_embeds of the prompt's length"):
        flux(**twice, safe_prompt="a man with a flower", height=16, width=16, num_inference_steps=2)


# Characters


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"prompt": SURROGATE}, r"prompt has '\\udc41' at character 6"),
        ({"prompt": ["a cat", SURROGATE]}, r"prompt\[1\] has"),
        ({"prompt": PROMPT, "negative_prompt": SURROGATE}, "negative_prompt has"),
        ({"prompt": PROMPT, "safe_prompt": SURROGATE}, "safe_prompt has"),
        ({"prompt": [PROMPT], "safe_prompt": [SURROGATE]}, r"safe_prompt\[0\] has"),
    ],
)
def test_half_a_surrogate_pair_is_named(tiny_dual, arguments, said):
    with pytest.raises(ValueError, match=said):
        tiny_dual(**arguments, **FAST)


def test_a_rewriter_that_answers_with_half_a_surrogate_pair_is_passed_over(tiny_dual):
    output = tiny_dual(PROMPT, rewriter=lambda prompt: SURROGATE, **FAST)
    assert output.safety[0].safe_prompt == "a man with a flower"


@pytest.mark.parametrize("character", ["\ufdfa", "\ufdfb", "\u3316", "\U0001f235", "\u0634"])
def test_ligatures_are_read_in_a_moment(character):
    text = character * 4000
    assert len(fold(text).text) <= 8 * len(text)
    policy = resolve("i2p")
    find(policy, "")  # its patterns are compiled once
    begin = time.process_time()
    assert not find(policy, text)
    refuse_sexualised_minors(text)
    assert time.process_time() - begin < 0.5
    assert find(policy, f"{text} with a pistol {text}")


# Numbers and old arguments


def test_integers_of_numpy_are_integers(tiny_dual, seeds):
    numbers = {"num_inference_steps": 4, "num_images_per_prompt": 2, "height": 16, "width": 16, "max_tries": 1}
    verify = {"verify": lambda images: [False] * len(images), "output_type": "np", "policy": "picto"}
    plain = tiny_dual(PROMPT, generator=seeds(1, 2), **numbers, **verify)
    theirs = {name: np.int64(value) for name, value in numbers.items()}
    assert np.array_equal(tiny_dual(PROMPT, generator=seeds(1, 2), **theirs, **verify).images, plain.images)
    level = tiny_dual(PROMPT, safety_level=np.float32(0.5), generator=seeds(1), **FAST).safety[0].level
    assert level == 0.5


@pytest.mark.parametrize("value", [True, 2.0, "2", np.float64(2), 0, -1])
def test_what_is_no_count_is_named(tiny_dual, value):
    with pytest.raises(ValueError, match="num_inference_steps="):
        tiny_dual(PROMPT, num_inference_steps=value)


def test_the_old_callback_is_called_where_stock_calls_it(tiny_dual, seeds):
    seen = []
    old = {"callback": lambda step, timestep, latents: seen.append((step, len(latents))), "callback_steps": 2}
    output = tiny_dual(PROMPT, generator=seeds(1), **old, **FAST)
    assert seen == [(0, 2), (2, 2)]
    assert np.array_equal(output.images, tiny_dual(PROMPT, generator=seeds(1), **FAST).images)
    flux = any_dual_of(FAMILIES["flux"].make())
    with pytest.raises(TypeError, match="'callback'"):
        FAMILIES["flux"].call(flux, [PROMPT], callback=print)


# Which prompt of a batch


def test_a_refused_prompt_of_a_batch_is_named(tiny_dual):
    with pytest.raises(PolicyViolation, match=r"^prompt\[1\]: policy 'own' blocks"):
        tiny_dual(["a cat", PROMPT], **(FAST | {"policy": policy_of("knife", block=True)}))
    with pytest.raises(PolicyViolation, match=r"^prompt\[2\]: the prompt asks for"):
        tiny_dual(["a cat", "a dog", "a nude child"], **FAST)
    with pytest.raises(PolicyViolation, match=r"^prompt: policy 'own' blocks"):
        tiny_dual(PROMPT, **(FAST | {"policy": policy_of("knife", block=True)}))


def test_a_refused_second_prompt_is_named():
    pipe = any_dual_of(FAMILIES["xl"].make())
    with pytest.raises(PolicyViolation, match=r"^prompt_2\[0\]"):
        FAMILIES["xl"].call(pipe, ["a cat", "a dog"], prompt_2=["a nude child", "a dog"])


# Checkpoints without a first text encoder


def test_the_refiner_which_has_the_second_text_encoder_only(seeds):
    base = tiny.stable_diffusion_xl()
    shape = {"cross_attention_dim": 32, "projection_class_embeddings_input_dim": 72}
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(dict(base.unet.config) | shape).eval()
    parts = (base.vae, None, base.text_encoder_2, None, base.tokenizer_2, unet, base.scheduler)
    stock = StableDiffusionXLImg2ImgPipeline(*parts, requires_aesthetics_score=True, add_watermarker=False)
    family, pipe = FAMILIES["xl-img2img"], any_dual_of(tiny.quiet(stock))
    output = family.call(pipe, [PROMPT], policy="picto", mask=None, generator=seeds(1))
    assert output.safety[0].decision == "dual" and np.isfinite(output.images).all()
