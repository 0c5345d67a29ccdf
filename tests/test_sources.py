"""Sources of the safe condition: rewriters with a timeout, the shift of the embedding, the negative."""

from __future__ import annotations

import time
from functools import wraps

import numpy as np
import pytest
import torch
from families import FAMILIES, dual_of

from dualsafe import MethodSettings
from dualsafe.conditions import SOURCES
from dualsafe.conditions.rewriter import rewritten_by
from dualsafe.conditions.space import Encoded, projector, safree_projection, safree_triggers, shift_direction

PROMPT = "a man with a knife"
FAST = {"num_inference_steps": 4, "output_type": "np", "policy": "picto"}


def test_a_rewriter_is_asked_only_where_something_was_found(tiny_dual, seeds):
    asked = []

    def rewriter(prompt):
        asked.append(prompt)
        return "a man waving"

    output = tiny_dual([PROMPT, "a cat"], rewriter=rewriter, generator=seeds(1, 2), **FAST)
    assert asked == [PROMPT]
    assert [report.safe_prompt for report in output.safety] == ["a man waving", None]
    assert output.safety[0].triggers == ("knife",) and output.safety[0].gate == "prompt"


def test_a_rewriter_is_not_asked_at_level_zero(tiny_dual):
    asked = []
    tiny_dual(PROMPT, rewriter=asked.append, safety_level=0, **FAST)
    assert asked == []


def test_what_the_policy_still_finds_in_the_answer_is_taken_out(tiny_dual):
    output = tiny_dual(PROMPT, rewriter=lambda prompt: "a man with a bomb", **FAST)
    assert output.safety[0].safe_prompt == "a man with a balloon"


@pytest.mark.parametrize(
    "rewriter",
    [lambda p: time.sleep(5), lambda p: 1 / 0, lambda p: None, lambda p: "  ", lambda p: "x" * 100_000],
    ids=["slow", "broken", "nothing", "blank", "endless"],
)
def test_a_rewriter_that_fails_leaves_it_to_the_policy(tiny_dual, rewriter):
    output = tiny_dual(PROMPT, rewriter=rewriter, rewriter_timeout=0.2, **FAST)
    assert output.safety[0].safe_prompt == "a man with a flower"


def test_rewritten_by_gives_the_text():
    assert rewritten_by(str.upper, "a man", 5.0) == "A MAN"


@pytest.mark.parametrize("name", ["sd1", "xl", "sd3", "flux"])
@pytest.mark.parametrize("sources", ["shift", ("rewrite", "shift")], ids=str)
def test_embedding_sources_change_the_safe_branch_and_only_that(name, sources, seeds):
    family, prompts = FAMILIES[name], [PROMPT, "a cat"]
    pipe = dual_of(family.make())
    options = {"policy": "picto", "return_pair": True, "mask": None}
    plain = family.call(pipe, prompts, generator=seeds(1, 2), **options)
    output = family.call(pipe, prompts, sources=sources, generator=seeds(1, 2), **options)
    assert np.array_equal(output.unsafe_images, plain.unsafe_images)
    assert np.array_equal(output.images[1], plain.images[1])
    assert not np.array_equal(output.images[0], plain.images[0])
    expected = "a man with a flower" if "rewrite" in sources else PROMPT
    assert output.safety[0].safe_prompt == expected


def test_a_policys_terms_are_encoded_once_a_call(tiny_dual, monkeypatch):
    asked, encode = [], tiny_dual.encode_prompt

    @wraps(encode)
    def counted(*args, **kwargs):
        asked.extend([tuple(kwargs["prompt"])] if kwargs.get("prompt") else [])
        return encode(*args, **kwargs)

    monkeypatch.setattr(tiny_dual, "encode_prompt", counted)
    tiny_dual([PROMPT, "a cat with a sword", "a dog with a knife"], sources="shift", scope="words", **FAST)
    assert len(asked) == len(set(asked)) == 4  # the prompts, the safe texts, the terms, their counterparts


def test_the_negative_source_is_the_safe_branchs_negative_prompt(stock, dual, seeds):
    options = {"num_inference_steps": 4, "output_type": "np", "generator": seeds(1)}
    whole = {"settings": MethodSettings(tau=0.0, mask_floor=None), "policy": "picto"}
    output = dual(PROMPT, sources=("rewrite", "negative"), negative_prompt="dark", **whole, **options)
    told = stock("a man with a flower", negative_prompt="knife, blood, dark", **options | {"generator": seeds(1)})
    assert np.allclose(output.images, told.images, atol=1e-5)


@pytest.mark.parametrize("name", ["xl", "sd3", "flux", "flux-true-cfg"])
def test_the_negative_source_works_in_every_family(name, seeds):
    family = FAMILIES[name]
    pipe = dual_of(family.make())
    options = {"policy": "picto", "mask": None, "return_pair": True}
    plain, output = (
        family.call(pipe, [PROMPT], sources=sources, generator=seeds(1), **options)
        for sources in ("rewrite", ("rewrite", "negative"))
    )
    assert np.array_equal(output.unsafe_images, plain.unsafe_images)
    assert np.array_equal(output.images, plain.images) == (name == "flux")  # distilled guidance has no negative


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sources": "magic"}, "sources='magic'"),
        ({"sources": []}, "sources=\\[\\]"),
        ({"sources": 3}, "sources=3"),
        ({"rewriter": "gpt"}, "rewriter='gpt'"),
        ({"rewriter": str, "rewriter_timeout": 0}, "rewriter_timeout=0"),
        ({"rewriter_timeout": True}, "rewriter_timeout=True"),
    ],
)
def test_bad_sources_are_named(tiny_dual, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_dual(PROMPT, **arguments, **FAST)


def test_sources_are_listed():
    assert SOURCES == ("rewrite", "shift", "negative")


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
    assert safree_triggers(without, p).tolist() == [True, False, False, False]
    tokens = torch.stack([concept + rest[0], rest[1]])
    moved = safree_projection(tokens, without, p)
    assert torch.allclose(moved @ concept, torch.zeros(2), atol=1e-5)
    assert torch.allclose(moved[1], rest[1], atol=1e-5)


def test_pooled_is_the_last_real_token_and_the_shift_leads_from_unsafe_to_safe():
    tokens = torch.arange(24.0).view(2, 3, 4)
    assert torch.equal(Encoded(tokens, [2, 3]).pooled, torch.stack([tokens[0, 1], tokens[1, 2]]))
    assert torch.equal(shift_direction(torch.ones(2, 3), torch.zeros(1, 3)), torch.ones(3))
