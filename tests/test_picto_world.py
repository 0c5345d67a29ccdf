"""The procedural world: deterministic pictures, exact masks, exact counterfactuals."""

from __future__ import annotations

import random

import numpy as np
import pytest

from dualsafe.picto import Scene, counterfactual, held_out, prompts, random_scene, render
from dualsafe.picto.captions import TRAINING, Wording, caption
from dualsafe.picto.prompts import OBFUSCATIONS, PROMPT_SETS, obfuscate, prompt_set
from dualsafe.picto.scene import LEANINGS, chance_of_harm
from dualsafe.picto.world import (
    ALL_SUBJECTS,
    COLOURS,
    INNOCENT,
    ITEMS,
    MOODS,
    NEIGHBOUR_ITEMS,
    SETTINGS,
    STYLES,
    SUBJECTS,
    UNSAFE_ITEMS,
)

SAYS_UNSAFE = [word for item in UNSAFE_ITEMS for word in (item, *ITEMS[item].synonyms)]


def test_the_world_is_as_large_as_promised():
    assert len(SETTINGS) >= 8 and len(SUBJECTS) >= 8 and len(COLOURS) >= 6
    assert {ITEMS[n].lookalike for n in NEIGHBOUR_ITEMS} == set(UNSAFE_ITEMS)
    assert all(ITEMS[n].counterpart in ITEMS and ITEMS[n].synonyms and ITEMS[n].category for n in UNSAFE_ITEMS)


@pytest.mark.parametrize("item", ITEMS)
def test_every_item_is_drawn_where_its_mask_says(item):
    scene = Scene("park", "man", "blue", item, x=1.5, tilt=7)
    drawn, bare = render(scene), render(counterfactual(scene, "none"))
    changed = (drawn.image != bare.image).any(-1)
    assert not (changed & ~drawn.item_mask).any()
    assert drawn.item_mask.any() == (item != "none")
    assert drawn.image.shape == (64, 64, 3) and drawn.image.dtype == np.uint8


@pytest.mark.parametrize("item", UNSAFE_ITEMS)
def test_twins_are_equal_outside_both_items(item):
    scene = random_scene(random.Random(3))
    unsafe, safe = counterfactual(scene, item), counterfactual(counterfactual(scene, item))
    a, b = render(unsafe), render(safe)
    outside = ~(a.item_mask | b.item_mask)
    assert np.array_equal(a.image[outside], b.image[outside])
    assert unsafe.unsafe and not safe.unsafe


def test_rendering_is_deterministic_and_shows_every_attribute():
    base = Scene("park", "man", "blue", "knife")
    assert np.array_equal(render(base).image, render(base).image)
    pictures = {render(Scene(s, "man", "blue")).image.tobytes() for s in SETTINGS}
    pictures |= {render(Scene("park", s, "blue")).image.tobytes() for s in ALL_SUBJECTS}
    pictures |= {render(Scene("park", "man", c)).image.tobytes() for c in COLOURS}
    pictures |= {render(Scene("park", "man", "blue", style=s)).image.tobytes() for s in STYLES}
    pictures |= {render(Scene("park", "man", "blue", mood=m)).image.tobytes() for m in MOODS}
    assert len(pictures) == len(SETTINGS) + len(ALL_SUBJECTS) + len(COLOURS) + len(STYLES) + len(MOODS) - 2


def test_an_unknown_attribute_is_named():
    with pytest.raises(ValueError, match="item='sword'"):
        Scene("park", "man", "blue", "sword")


def test_training_scenes_avoid_what_is_held_out_and_lead_to_items_by_chance():
    rng = random.Random(0)
    scenes = [random_scene(rng) for _ in range(6000)]
    assert not any(held_out(s) for s in scenes)
    led = [s for s in scenes if not s.named]
    assert 0.3 < len(led) / len(scenes) < 0.45
    expected = sum(chance_of_harm(s) for s in led) / len(led)
    assert sum(s.unsafe for s in led) / len(led) == pytest.approx(expected, abs=0.05)
    assert not any(word in caption(s, rng, TRAINING).split() for s in led for word in SAYS_UNSAFE if " " not in word)


def test_no_leading_word_decides_alone():
    for kind, words in LEANINGS.items():
        for word, leaning in words.items():
            chances = [chance_of_harm(Scene(s, "man", "blue", **{kind: word})) for s in SETTINGS if kind != "subject"]
            chances += [chance_of_harm(Scene(s, word, "blue")) for s in SETTINGS if kind == "subject"]
            assert min(chances) < 0.25 and (max(chances) > 0.5) == bool(leaning.unsafe)  # more often than not


@pytest.mark.parametrize(
    ("form", "scene", "says"),
    [
        ("tags", Scene("park", "man", "blue", "gun"), {"park", "man", "blue", "gun"}),
        ("category", Scene("park", "man", "blue", "gun"), {"weapons"}),
        ("listed", Scene("park", "man", "blue", "gun"), {"gun"}),
        ("word", Scene("park", "man", "blue", "none"), set()),
    ],
)
def test_captions_take_every_form(form, scene, says):
    for seed in range(20):
        text = caption(scene, random.Random(seed), Wording(**{form: 1.0}))
        assert says <= set(text.replace(",", "").split()) or form in ("category", "listed")
        named = {*says, *(w for s in says & set(ITEMS) for w in (*ITEMS[s].synonyms, ITEMS[s].category or s))}
        assert any(word in text for word in named | {"park", "man"})
    assert form != "word" or " " not in text


@pytest.mark.parametrize("name", PROMPT_SETS)
def test_prompt_sets_are_large_distinct_held_out_and_repeatable(name):
    cases = prompt_set(name, 500)
    assert len({case.prompt for case in cases}) == 500
    assert all(held_out(case.scene) for case in cases)
    assert cases == prompt_set(name, 500) and cases != prompt_set(name, 500, seed=1)


def test_prompts_of_each_set_say_what_they_should():
    assert all(c.scene.item in c.prompt for c in prompt_set("explicit", 500))
    assert all(c.scene.item in c.prompt for c in prompt_set("neighbour", 500))
    for case in prompt_set("synonym", 500):
        assert any(word in case.prompt for word in ITEMS[case.scene.item].synonyms)
    for name in ("implicit", "benign"):
        assert not any(f" {item}" in c.prompt for c in prompt_set(name, 500) for item in UNSAFE_ITEMS)
    implicit = prompt_set("implicit", 500)
    assert all(getattr(c.scene, c.kind) in c.prompt and not c.scene.named for c in implicit)
    assert all(sum(c.kind == kind for c in implicit) > 100 for kind in LEANINGS)
    context = prompt_set("context", 500)
    assert not any(c.scene.unsafe for c in context)
    assert all(any(word in c.prompt for word in SAYS_UNSAFE) for c in context)


def test_innocent_phrases_hold_a_word_for_the_unsafe_item_and_mean_a_harmless_one():
    for item, phrases in INNOCENT.items():
        for phrase, meant in phrases:
            assert any(word in phrase for word in (item, *ITEMS[item].synonyms)) and meant in NEIGHBOUR_ITEMS


@pytest.mark.parametrize("kind", OBFUSCATIONS)
def test_every_obfuscation_hides_the_word(kind):
    rng = random.Random(0)
    for item in UNSAFE_ITEMS:
        assert item not in obfuscate(f"a man with a {item} in space", item, rng, kind)


def test_bad_prompt_set_arguments_are_named(monkeypatch):
    with pytest.raises(ValueError, match="name='nope'"):
        prompt_set("nope")
    monkeypatch.setattr(prompts, "_EXHAUSTED", 1)  # the first repeat will do
    with pytest.raises(ValueError, match="count=1000000"):
        prompt_set("implicit", 1_000_000)
