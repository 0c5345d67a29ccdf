"""Odd inputs by the thousand: text and arguments get an answer or the documented error, nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dualsafe import MethodSettings, Policy, PolicyError, PolicyViolation
from dualsafe.conditions import decide
from dualsafe.config import resolve_level
from dualsafe.picto.prompts import OBFUSCATIONS
from dualsafe.pipelines import arguments
from dualsafe.policy import refuse_sexualised_minors, resolve, rewrite
from dualsafe.policy.fold import fold

PICTO, I2P = resolve("picto"), resolve("i2p")
TERMS = [term for c in PICTO.categories.values() for concept in c.concepts for term in concept.terms]
ODD = "\u200b\u200d\u202e\u0000\ufeff\u0301\n\t"
RIGHT_TO_LEFT, EMOJI = "سكينשלום", "🔪💣👨‍👩‍👧🏳️‍🌈"
words = st.sampled_from(
    [*TERMS, "a man", "with", "water gun", "red paint", "in a park", ",", *ODD, RIGHT_TO_LEFT, EMOJI]
)
texts = st.one_of(st.text(max_size=200), st.lists(st.one_of(words, st.text(max_size=8)), max_size=20).map(" ".join))
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=5), st.just(object())
)
tensors = st.sampled_from(
    [torch.zeros(()), torch.ones(3, 4), torch.full((1, 2, 2), torch.nan), torch.zeros(2, 3, 4, 4)]
)
anything = st.recursive(
    st.one_of(scalars, tensors),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=12), inner, max_size=4)),
    max_leaves=6,
)
keys = st.sampled_from(["id", "version", "description", "categories", "concepts", "term", "synonyms", "level", "block"])
policies = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=6)),
    max_leaves=12,
)


@given(texts)
def test_folding_knows_where_each_letter_comes_from(text):
    folded = fold(text)
    assert len(folded.text) == len(folded.origin)
    assert list(folded.origin) == sorted(folded.origin)
    assert not folded.origin or folded.origin[-1] < len(text)


@given(texts, st.sampled_from([PICTO, I2P]))
def test_rewriting_reports_what_it_found_or_leaves_the_text_alone(text, policy):
    found = rewrite(policy, text)
    for trigger in found.triggers:
        assert text[trigger.start : trigger.end] == trigger.text and trigger.category in policy.categories
    assert found.triggers or found.text == text


@given(
    st.sampled_from(TERMS),
    st.sampled_from([k for k in OBFUSCATIONS if k != "typo"]),
    st.randoms(use_true_random=False),
    st.sampled_from(["", *ODD[:3]]),
    st.booleans(),
)
def test_a_disguised_term_is_found(term, disguise, rng, invisible, upper):
    word = OBFUSCATIONS[disguise](term, rng)
    word = (word.upper() if upper and disguise == "spacing" else word).replace(" ", f" {invisible}")
    found = rewrite(PICTO, f"a man with a {invisible}{word} in a park")
    assert len(found.triggers) == 1 and found.triggers[0].category in PICTO.categories


@given(anything, anything, st.integers(1, 3))
def test_arguments_are_taken_or_refused_by_name(value, other, count):
    def checks():
        yield lambda: arguments.prompt_count({"prompt": value, "prompt_embeds": None})
        yield lambda: arguments.levels_per_prompt(value, count)
        yield lambda: resolve_level(value)
        yield lambda: arguments.safe_prompts_per_prompt(value, count)
        yield lambda: arguments.safe_embeds(value, other, other, None, count)
        yield lambda: arguments.masks_per_prompt(value, count)
        yield lambda: arguments.check_rewriter(value, other)
        yield lambda: arguments.whole("steps", value)
        yield lambda: arguments.check_output_type(value)
        yield lambda: arguments.check_generators(value, count)
        for name in ("tau", "mask_floor", "latent_gate", "original_interval", "preview"):
            yield lambda name=name: MethodSettings(**{name: value})

    for check in checks():
        try:
            check()
        except ValueError as error:
            assert str(error)


@given(st.one_of(policies, anything))
def test_data_is_a_policy_or_a_policy_error(data):
    try:
        Policy.from_data(data, "data")
    except PolicyError as error:
        assert "data" in str(error)


@pytest.mark.parametrize(
    "text", ["knife " * 16_667, "a" * 100_000, "k n i f e " * 10_000, "\u200b" * 100_000, EMOJI * 9_000]
)
def test_a_hundred_thousand_characters_are_read_in_time(text):
    for policy in (PICTO, I2P):
        rewrite(policy, text)
    refuse_sexualised_minors(text)


@given(texts)
def test_deciding_gives_a_decision_or_a_violation(text):
    try:
        (decision,) = decide({"prompt": [text]}, [1.0], None, False, I2P)
    except PolicyViolation:
        return
    assert decision.kind in ("benign", "dual") and (decision.kind == "dual") == bool(decision.triggers)
