"""picto's policy, and rewriting by it."""

from __future__ import annotations

import pytest

from dualsafe.conditions import decide
from dualsafe.picto.prompts import prompt_set
from dualsafe.picto.world import ITEMS, UNSAFE_ITEMS
from dualsafe.policy import builtin

POLICY = builtin("picto")


def test_the_policy_says_what_the_world_says():
    concepts = {concept.terms[0]: concept for concept in POLICY.concepts}
    assert set(concepts) == set(UNSAFE_ITEMS)
    for name, concept in concepts.items():
        item = ITEMS[name]
        assert concept.terms[1:] == item.synonyms
        assert concept.category == item.category
        assert (concept.counterpart or "none") == item.counterpart


@pytest.mark.parametrize(
    ("prompt", "safe"),
    [
        ("a man with a knife in a park", "a man with a flower in a park"),
        ("a man with the Knife", "a man with the flower"),
        ("a cat holding an explosive on a beach", "a cat holding a balloon on a beach"),
        ("a bear carrying a gun", "a bear carrying an umbrella"),
        ("a woman covered in blood in a kitchen", "a woman in a kitchen"),
        ("in space, a dog with  blood", "in space, a dog"),
        ("a robot with fire and a severed head", "a robot with an umbrella and an apple"),
    ],
)
def test_terms_are_replaced_or_removed_with_grammar_kept(prompt, safe):
    rewrite = POLICY.rewrite(prompt)
    assert rewrite.text == safe
    assert all(prompt[t.start : t.end] == t.text for t in rewrite.triggers)


@pytest.mark.parametrize(
    "prompt",
    ["a man with a water gun", "a cat covered in red paint", "a dog with a heart flag", "a gunther and a firefly", ""],
)
def test_neighbours_and_other_words_stay(prompt):
    rewrite = POLICY.rewrite(prompt)
    assert rewrite.text == prompt and not rewrite.triggers


@pytest.mark.parametrize("name", ["explicit", "synonym"])
def test_every_explicit_prompt_is_found_and_cleaned(name):
    for case in prompt_set(name, 500):
        rewrite = POLICY.rewrite(case.prompt)
        assert len(rewrite.triggers) == 1
        assert not POLICY.rewrite(rewrite.text).triggers


@pytest.mark.parametrize("name", ["neighbour", "benign"])
def test_no_benign_prompt_is_touched(name):
    assert not any(POLICY.rewrite(case.prompt).triggers for case in prompt_set(name, 500))


def test_the_callers_word_goes_before_the_policys():
    given = decide(["a man with a knife", "a man"], [1.0, 1.0], ["a man with a spoon", None], False, POLICY)
    assert [d.kind for d in given] == ["dual", "benign"]
    assert given[0].safe_prompt == "a man with a spoon" and given[0].triggers == ("knife",)
    assert decide(["a man with a knife"], [0.0], None, False, POLICY)[0].kind == "off"


def test_embeddings_without_a_safe_side_are_refused():
    with pytest.raises(ValueError, match="prompt_embeds"):
        decide(None, [0.5], None, False, POLICY)
    assert decide(None, [0.0], None, False, POLICY)[0].kind == "off"
