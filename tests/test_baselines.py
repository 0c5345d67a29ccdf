"""The baselines against their reference implementations, and the little protocol that all methods keep."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import tiny
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.pipelines.deprecated.semantic_stable_diffusion import SemanticStableDiffusionPipeline
from diffusers.pipelines.deprecated.stable_diffusion_safe import StableDiffusionPipelineSafe
from families import FAMILIES, SAFE, UNSAFE, dual_of

from dualsafe import MethodSettings, PolicyViolation
from dualsafe.baselines import METHODS, create
from dualsafe.baselines.casg import CASG
from dualsafe.baselines.concept_guidance import GuidesAway
from dualsafe.baselines.dng import DNG
from dualsafe.baselines.edited import Edited
from dualsafe.baselines.esd import ESD
from dualsafe.baselines.protocol import concept_text, concepts
from dualsafe.baselines.registry import OURS, names
from dualsafe.baselines.safree import SAFREE, projection, projector, triggers
from dualsafe.baselines.sld import PRESETS, SLDByCategory
from dualsafe.baselines.uce import UCE
from dualsafe.config import UNCALIBRATED
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


SHORT_ESD = Edited("esd-x", ESD(rounds=2, steps=4))
EVERY_KIND = [name for name in METHODS if not {"weak", "medium", "strong"} & {*name.split("-")}]
FEW = SAMPLING | {"num_inference_steps": 4}


@pytest.mark.parametrize("name", [*EVERY_KIND, "dualsafe-max", "dualsafe-low:mask=none", "dualsafe-max+verify"])
def test_every_method_keeps_the_protocol(tiny_dual, name):
    unet = tiny_dual.unet
    method = SHORT_ESD if name == "esd-x" else create(name, judge=lambda images: [Verdict(False)] * len(images))
    first, second = (method.generate(tiny_dual, PROMPTS, SEEDS, POLICY, **FEW) for _ in range(2))
    assert method.name == name and len(first.images) == len(first.rows) == len(first.masks) == 2
    assert np.array_equal(arrays(first.images), arrays(second.images))
    alone = method.generate(tiny_dual, PROMPTS[1:], SEEDS[1:], POLICY, **FEW)
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
    pipe = dual_of(FAMILIES["xl"].make())
    size = {"height": 16, "width": 16}
    for name in ("sld-max", "casg-sld-max", "dng", "sega", "uce", "negative-prompt"):
        assert len(create(name).generate(pipe, PROMPTS, SEEDS, POLICY, **FEW, **size).images) == 2
    with pytest.raises(ValueError, match=r"Stable Diffusion 1.x or 2.x"):
        create("safree").generate(pipe, PROMPTS, SEEDS, POLICY, **FEW, **size)
    flow = dual_of(FAMILIES["flux"].make())
    with pytest.raises(ValueError, match="this is Flux"):
        create("sld-max").generate(flow, PROMPTS, SEEDS, POLICY, **FEW, **size)


class DrawsTheConcept(GuidesAway):
    name = "concept"

    def texts(self, pipe, policy):
        return [SAFE[0], PROMPTS[1]]

    def guide(self, steps, scale):
        return lambda e_0, e_p, e_c, step, guidance_scale: e_c[1]


@pytest.mark.parametrize("name", ["sd1", "xl", "sd3", "sd3-img2img"])
def test_a_concepts_row_is_what_the_model_says_to_its_text(name):
    family = FAMILIES[name]
    pipe, told = dual_of(family.make()), {"num_inference_steps": 4} | family.options | {"output_type": "np"}
    drawn = DrawsTheConcept().generate(pipe, UNSAFE, SEEDS, POLICY, **told, guidance_scale=5.0)
    expected = create("stock").generate(pipe, PROMPTS[1:] * 2, SEEDS, POLICY, **told, guidance_scale=1.0)
    assert np.abs(drawn.images - expected.images).max() <= 1e-4
    assert drawn.rows == [4 * rows for rows in expected.rows]


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
    assert len(OURS) == 12 and set(METHODS) | set(OURS) == set(names())


def test_our_methods_take_any_setting_by_name():
    options = create("dualsafe-max:tau=0.1,mask_floor=none,scope=words,preview=none").options
    settings = MethodSettings(tau=0.1, mask_floor=None)
    assert options == {"settings": settings, "scope": "words", "preview": None}
    assert create("dualsafe-max:dial=uncalibrated").options["settings"].dial == UNCALIBRATED
    for wrong in ("dualsafe-max:tua=0.1", "dualsafe-max:tau", "dualsafe-max:tau=2"):
        with pytest.raises(ValueError, match=r"must be KEY=VALUE, its key one of tau|must be a number in"):
            create(wrong)


def plain_run(pipe, prompt, seed, texts, guided, steps=4):
    """One prompt's latents from a loop without any of the library's parts: a row at a time.

    Args:
        guided: given e_0, e_p, the concepts' predictions, the latents, and alpha^2 here and after the step.
    """
    told = [pipe.encode_prompt(text, pipe.device, 1, False)[0] for text in ("", prompt, *texts)]
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(steps)
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    squares = [float(scheduler.alphas_cumprod[t]) for t in scheduler.timesteps]
    for i, t in enumerate(scheduler.timesteps):
        with torch.no_grad():
            e_0, e_p, *e_c = (pipe.unet(z, t, encoder_hidden_states=each).sample for each in told)
        after = squares[i + 1] if i + 1 < steps else None
        z = scheduler.step(guided(e_0, e_p, e_c, z, squares[i], after), t, z).prev_sample
    return z


def same_as_plain(method, pipe, texts, guide):
    """Whether a batch of two is what the plain loop draws one by one; `guide` makes the guidance of a run."""
    sampling = {"num_inference_steps": 4, "guidance_scale": 5.0, "output_type": "latent"}
    drawn = method.generate(pipe, PROMPTS, SEEDS, POLICY, **sampling)
    plain = torch.cat([plain_run(pipe, prompt, seed, texts, guide()) for prompt, seed in zip(PROMPTS, SEEDS)])
    assert drawn.rows == [4 * (2 + len(texts))] * 2
    assert torch.allclose(torch.stack(list(drawn.images)), plain, atol=1e-4)


def categories():
    return [", ".join(concept.term for concept in category.concepts) for category in POLICY.categories.values()]


GENTLE = (13, 10, 0.1, 0.5, 0.7)
"""SLD with a warm-up of one step of four, and a scale under which rounding stays rounding."""


def sld(pick):
    """Guidance of SLD with those numbers, `pick` of each category's part."""

    def make():
        step, momentum = 0, 0.0

        def guided(e_0, e_p, e_c, *_):
            nonlocal step, momentum
            parts = []
            for e_s in e_c:
                phi = e_p - e_s
                mu = (10 * phi.abs()).clamp(max=1)
                mu[phi >= 0.1] = 0
                parts.append(mu * (e_s - e_0))
            gamma = pick(e_0, e_p, e_c, parts) + 0.5 * momentum
            momentum, step = 0.7 * momentum + 0.3 * gamma, step + 1
            return e_0 + 5 * (e_p - e_0 - (gamma if step > 1 else 0))

        return guided

    return make


def test_casg_guides_away_from_the_category_of_the_largest_projection(dual):
    picked = []

    def strongest(e_0, e_p, e_c, parts):
        reach = [float((e_p - e_0).flatten() @ (e - e_0).flatten() / (e - e_0).norm()) for e in e_c]
        picked.append(reach.index(max(reach)))
        return parts[picked[-1]]

    same_as_plain(CASG("casg", *GENTLE), dual, categories(), sld(strongest))
    assert len(set(picked)) > 1


def test_sld_by_category_takes_the_mean_of_the_categories_directions(dual):
    mean = sld(lambda e_0, e_p, e_c, parts: sum(parts) / len(parts))
    same_as_plain(SLDByCategory("by category", *GENTLE), dual, categories(), mean)
    assert create("casg-sld-max") == CASG("casg-sld-max", 0, 5000, 1.0, 0.5, 0.7)
    assert create("sld-medium-by-category") == SLDByCategory("sld-medium-by-category", 10, 1000, 0.01, 0.3, 0.4)


def test_dng_follows_the_posterior_of_algorithm_1(dual):
    method, seen = DNG(prior=0.3, temperature=0.05, most=0.9), []

    def epsilon(e, z, square):
        return e if dual.scheduler.config.prediction_type == "epsilon" else square**0.5 * e + (1 - square) ** 0.5 * z

    def make():
        p = method.prior

        def guided(e_0, e_p, e_c, z, here, after):
            nonlocal p
            seen.append(p)
            e = e_0 + 5 * (e_p - e_0) - 5 * p / (1 - p) * (e_c[0] - e_0)
            if after is not None:  # the means of the step from z to z', of a DDPM that steps so far
                a, variance = here / after, (1 - after) / (1 - here) * (1 - here / after)
                led, mu_0, mu_c = (
                    (z - (1 - a) / (1 - here) ** 0.5 * epsilon(each, z, here)) / a**0.5 for each in (e, e_0, e_c[0])
                )
                gained = (led - mu_0).square().sum() - (led - mu_c).square().sum()
                p = float((p * (method.temperature * gained / (2 * variance)).exp()).clamp(method.least, method.most))
            return e

        return guided

    same_as_plain(method, dual, [concept_text(dual, POLICY)], make)
    assert max(seen) - min(seen) > 0.1


def test_uce_solves_its_equation_in_every_cross_attention(dual):
    method = Edited("uce", UCE())
    copy, seconds = method.prepare(dual, POLICY)

    def last(text):
        tokens = dual.tokenizer(text, padding="max_length", return_tensors="pt")
        states = dual.text_encoder(tokens.input_ids)[0][0]
        return states[int(tokens.attention_mask.sum()) - 2]

    old, new = (dict(unet.named_parameters()) for unet in (dual.unet, copy))
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == {name for name in old if name.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))}
    for name in changed:
        w = old[name].detach()
        left, right = 0.5 * w, 0.5 * torch.eye(w.shape[1])
        for told in concepts(POLICY):
            c = last(told).detach()
            left = left + torch.outer(w @ last("").detach(), c)
            right = right + torch.outer(c, c)
        assert torch.allclose(new[name], left @ torch.inverse(right), atol=1e-4)
    drawn = method.generate(dual, PROMPTS, SEEDS, POLICY, **FEW)
    assert drawn.editing == seconds > 0 and drawn.rows == [8, 8]


def test_esd_teaches_the_cross_attentions_to_point_away(dual):
    esd = ESD(rounds=3, steps=4, rate=1e-3, seed=5)
    copy, _ = Edited("esd-x", esd).prepare(dual, POLICY)
    student, dice = deepcopy(dual.unet), torch.Generator().manual_seed(5)
    trained = [p for name, p in student.named_parameters() if "attn2" in name]
    adam, names = torch.optim.Adam(trained, lr=1e-3), concepts(POLICY)
    scheduler = DDIMScheduler.from_config(dual.scheduler.config)
    with torch.no_grad():
        empty = dual.encode_prompt("", dual.device, 1, False)[0]
    for _ in range(3):
        with torch.no_grad():
            c = dual.encode_prompt(names[int(torch.randint(len(names), (), generator=dice))], dual.device, 1, False)[0]
            scheduler.set_timesteps(4)
            last = int(torch.randint(4, (), generator=dice))
            z = torch.randn(1, 4, 8, 8, generator=dice)
            for t in scheduler.timesteps[: last + 1]:
                e_0, e_c = (dual.unet(z, t, encoder_hidden_states=told).sample for told in (empty, c))
                if t != scheduler.timesteps[last]:
                    z = scheduler.step(e_0 + 3 * (e_c - e_0), t, z).prev_sample
        loss = (student(z, t, encoder_hidden_states=c).sample - (e_0 - (e_c - e_0))).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    for (name, new), expected, old in zip(copy.named_parameters(), student.parameters(), dual.unet.parameters()):
        assert torch.allclose(new, expected, atol=2e-4) and torch.equal(new, old) != ("attn2" in name)


def test_an_edited_copy_is_made_once_for_a_policy_and_refuses_what_it_cannot_edit(tiny_dual):
    first, again = (SHORT_ESD.prepare(tiny_dual, POLICY) for _ in range(2))
    other = SHORT_ESD.prepare(tiny_dual, POLICY.model_copy(update={"id": "other"}))
    assert first[0] is again[0] is not other[0]
    with pytest.raises(ValueError, match="does not have"):
        create("uce").prepare(dual_of(FAMILIES["flux"].make()), POLICY)
    with pytest.raises(ValueError, match=r"1.x or 2.x"):
        create("esd-x").prepare(dual_of(FAMILIES["xl"].make()), POLICY)


def test_what_is_never_generated_is_refused_by_every_method(tiny_dual):
    for name in {*EVERY_KIND} - {"esd-x"}:
        with pytest.raises(PolicyViolation):
            create(name).generate(tiny_dual, ["a naked child"], [1], POLICY, **FEW)


def test_a_plain_pipeline_is_untouched_by_a_method_in_use(tiny_dual):
    other = StableDiffusionPipeline(**tiny_dual.components, requires_safety_checker=False)
    create("sld-max").generate(tiny_dual, PROMPTS, SEEDS, POLICY, **SAMPLING)
    assert other.unet is tiny_dual.unet


def test_a_projector_keeps_its_span_and_nothing_else():
    torch.manual_seed(0)
    vectors = torch.randn(3, 10)
    p = projector(vectors)
    assert torch.allclose(vectors @ p, vectors, atol=1e-5) and torch.allclose(p @ p, p, atol=1e-5)
    assert torch.allclose(projector(torch.cat([vectors, vectors[:1]])), p, atol=1e-5)
    outside = torch.randn(10)
    outside -= outside @ p
    assert (outside @ p).norm() < 1e-5


def test_safree_finds_the_part_that_carries_the_concept():
    concept, rest = torch.eye(4)[0], torch.eye(4)[1:]
    p = projector(concept[None])
    whole = concept + rest.sum(0)
    without = torch.stack([whole - concept, *(whole - r for r in rest)])
    assert triggers(without, p).tolist() == [True, False, False, False]
    tokens = torch.stack([concept + rest[0], rest[1]])
    moved = projection(tokens, without, p)
    assert torch.allclose(moved @ concept, torch.zeros(2), atol=1e-5)
    assert torch.allclose(moved[1], rest[1], atol=1e-5)
