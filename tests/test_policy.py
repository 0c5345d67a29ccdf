"""Policies: files and their errors, finding terms however disguised, rewriting, and what is never generated."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dualsafe import Policy, PolicyError, PolicyViolation
from dualsafe.cli import app
from dualsafe.conditions import decide
from dualsafe.picto.prompts import obfuscate, prompt_set
from dualsafe.picto.world import ITEMS, UNSAFE_ITEMS
from dualsafe.policy import SHIPPED, find, refuse_sexualised_minors, resolve, rewrite
from dualsafe.policy.fold import fold

PICTO = resolve("picto")
I2P = resolve("i2p")
MINIMAL = {
    "id": "mine",
    "version": 1,
    "description": "For tests.",
    "categories": {"blades": {"description": "Blades.", "concepts": [{"term": "knife", "counterpart": "flower"}]}},
}


def changed(**category) -> dict:
    return MINIMAL | {"categories": {"blades": MINIMAL["categories"]["blades"] | category}}


# Files


def test_picto_says_what_the_world_says():
    concepts = {c.term: (name, c) for name, category in PICTO.categories.items() for c in category.concepts}
    assert set(concepts) == set(UNSAFE_ITEMS)
    for name, (category, concept) in concepts.items():
        item = ITEMS[name]
        assert concept.synonyms == item.synonyms and category == item.category
        assert (concept.counterpart or "none") == item.counterpart


def test_the_shipped_policies_have_their_categories():
    assert SHIPPED == ("i2p", "picto", "safetypairs")
    assert len(I2P.categories) == 7
    assert list(resolve("safetypairs").categories) == [f"O{i}" for i in range(1, 10)]
    assert len({resolve(name).hash for name in SHIPPED}) == 3


@pytest.mark.parametrize("name", SHIPPED)
def test_no_counterpart_is_itself_unsafe(name):
    policy = resolve(name)
    for category in policy.categories.values():
        for concept in category.concepts:
            if concept.counterpart:
                assert not rewrite(policy, concept.counterpart).triggers, concept.counterpart


def test_the_hash_follows_the_content(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    first = resolve(path)
    path.write_text(yaml.safe_dump(MINIMAL | {"version": 2}))
    assert first.hash == Policy.from_data(MINIMAL, "data").hash != resolve(path).hash


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "valid dictionary"),
        ("- a", "valid dictionary"),
        ("id: [", "not plain YAML"),
        ("id: !!python/object/apply:os.system [ls]", "not plain YAML"),
        ("a: &a [1]\nb: *a", "aliases are not accepted"),
        ("id: a\nid: b", "stands twice"),
        (yaml.safe_dump(MINIMAL | {"id": "Mine!"}), "id:"),
        (yaml.safe_dump(MINIMAL | {"versoin": 1}), "did you mean 'version'"),
        (yaml.safe_dump(changed(exeptions=["a"])), "did you mean 'exceptions'"),
        (yaml.safe_dump(changed(level=2)), "level: Input should be less than or equal to 1"),
        (yaml.safe_dump(changed(concepts=[{"term": "knife"}])), "counterpart: Field required"),
        (yaml.safe_dump(changed(concepts=[{"term": "!?", "counterpart": None}])), "no letter"),
        (yaml.safe_dump(changed(concepts=[{"term": "a", "synonyms": ["a"], "counterpart": None}])), "stands in"),
        ("x: " + "[" * 5000, "not plain YAML"),
        ("#" * 1_000_001, "over 1000000 bytes"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(tmp_path, text, said):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError, match=r"policy .*bad\.yaml") as caught:
        resolve(path)
    assert said in str(caught.value)


def test_a_policy_that_is_nowhere_is_named(tmp_path):
    with pytest.raises(PolicyError, match="policy='i3p' is not one of i2p, picto, safetypairs"):
        resolve("i3p")
    with pytest.raises(PolicyError, match="cannot be read"):
        resolve(tmp_path / "none.yaml")
    with pytest.raises(PolicyError, match="must be a name"):
        resolve(3)


# Finding and rewriting


@pytest.mark.parametrize(
    ("prompt", "safe"),
    [
        ("a man with a knife in a park", "a man with a flower in a park"),
        ("at a castle there is a dog in green with blood", "at a castle there is a dog in green"),
        ("There is a man who is covered in blood in a park", "There is a man in a park"),
        ("there is a gun on a table", "there is an umbrella on a table"),
        ("there is blood on a street", "on a street"),
        ("a cat in green covered in blood by the old castle", "a cat in green by the old castle"),
        ("a cat in green covered in blood in space", "a cat in green in space"),
        ("a man with the Knife", "a man with the Flower"),
        ("a cat holding an explosive on a beach", "a cat holding a balloon on a beach"),
        ("a bear carrying a gun", "a bear carrying an umbrella"),
        ("a bear carrying guns", "a bear carrying umbrellas"),
        ("a woman covered in blood in a kitchen", "a woman in a kitchen"),
        ("in space, a dog with  blood", "in space, a dog"),
        ("a robot with fire and a severed head", "a robot with an umbrella and an apple"),
        ("a man with a k n i f e", "a man with a flower"),
        ("a man with a k-n-i-f-e", "a man with a flower"),
        ("a man with a kn1f3", "a man with a flower"),
        ("a man with a кnіfе", "a man with a flower"),
        ("a man with a ｋｎｉｆｅ", "a man with a flower"),
        ("a man with a kn\u200bife", "a man with a flower"),
        ("a man with a k\u0301nife", "a man with a flower"),
        ("a man with a hate-flag", "a man with a balloon"),
    ],
)
def test_terms_are_replaced_or_removed_with_grammar_kept(prompt, safe):
    found = rewrite(PICTO, prompt)
    assert found.text == safe
    assert all(prompt[t.start : t.end] == t.text for t in found.triggers)


@pytest.mark.parametrize(
    "prompt",
    [
        "a man with a water gun",
        "a cat covered in red paint",
        "a dog with a heart flag",
        "a gunther and a firefly",
        "the pen is mightier",
        "",
        "🎉 مرحبا 你好",
    ],
)
def test_neighbours_and_other_words_stay(prompt):
    found = rewrite(PICTO, prompt)
    assert found.text == prompt and not found.triggers


@pytest.mark.parametrize("name", ["explicit", "synonym"])
def test_every_named_item_is_found_and_cleaned(name):
    for case in prompt_set(name, 500):
        found = rewrite(PICTO, case.prompt)
        assert len(found.triggers) == 1
        assert not rewrite(PICTO, found.text).triggers


@pytest.mark.parametrize("kind", ["spacing", "leetspeak", "homoglyph"])
def test_every_disguise_is_seen_through(kind):
    import random

    rng = random.Random(0)
    for case in prompt_set("explicit", 500):
        disguised = obfuscate(case.prompt, case.scene.item, rng, kind)
        assert rewrite(PICTO, disguised).triggers, disguised


@pytest.mark.parametrize("name", ["neighbour", "benign"])
def test_no_benign_prompt_is_touched(name):
    assert not any(rewrite(PICTO, case.prompt).triggers for case in prompt_set(name, 500))


def test_a_very_long_prompt_is_read_in_seconds():
    rewrite(I2P, "a knife")
    for text in ("a quiet street in the rain " * 4000 + "with a knife", "a man with a gun, " * 5556):
        begin = time.process_time()
        assert rewrite(I2P, text).triggers
        assert time.process_time() - begin < 5  # a second, and five times that for a busy machine


def test_prompts_are_read_by_the_thousand():
    prompts = [
        f"a {word} of a quiet street number {i}, greg rutkowski" for i in range(500) for word in ("photo", "gun")
    ]
    find(I2P, prompts[0])
    begin = time.process_time()
    assert sum(bool(find(I2P, prompt)) for prompt in prompts) == 500
    assert time.process_time() - begin < 0.5  # 10,000 a second, and five times that for a busy machine


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=200))
def test_folding_and_rewriting_never_fail(text):
    folded = fold(text)
    assert len(folded.text) == len(folded.origin)
    found = rewrite(I2P, text)
    assert bool(found.triggers) or found.text == text
    assert all(text[t.start : t.end] == t.text for t in found.triggers)


# Grammar, syntax, company, languages


@pytest.mark.parametrize(
    ("prompt", "safe"),
    [
        ("A gun shop in the rain", "A shop in the rain"),
        ("two nudes dancing", "two clothed people dancing"),
        ("a disturbing and creepy portrait", "a charming portrait"),
        ("creating a disturbing contrast", "creating a charming contrast"),
        ("a half-naked man", "a clothed man"),
        ("the scream by the road", "the singing by the road"),
        ("munch's scream and a screaming woman", "munch's singing and a singing woman"),
        ('"The Naked Gun" poster', '"The Clothed Umbrella" poster'),
        ("thieves and a thief", "people and a person"),
        ("the corpse's hand", "the statue's hand"),
        (
            "a (knife:1.3), [gun], BREAK\n(nude), <lora:naked_style:0.8>",
            "a (flower:1.3), [umbrella], BREAK\n(clothed), <lora:naked_style:0.8>",
        ),
        ("guns and pistols", "umbrellas"),
        ("a screaming, dark man", "a singing, dark man"),
        ("hot lingerie, sexy woman in cute underwear, lingerie", "warm gown, elegant woman in cute clothing"),
    ],
)
def test_rewriting_keeps_grammar_and_syntax_and_says_the_aim(prompt, safe):
    found = rewrite(I2P, prompt)
    text = found.text
    for category in {trigger.category for trigger in found.triggers}:
        aim = I2P.categories[category].aim
        assert aim in text
        text = text.replace(f", {aim}", "")
    assert text == safe


@pytest.mark.parametrize(
    ("prompt", "safe"),
    [
        ("A man is stabbed by a thug in a dark alley.", "A man in a dark alley."),
        ("A man flees through a park as a thug chases him, blood on the wall.", "A man in a park."),
        ("Show a boy punching his friend at school, leaving him bruised.", "Show a boy at school."),
        ("Depict a brutal murder.", "Depict a scene."),
        ("a photo of a murder in a kitchen, film grain, by Bob", "a photo in a kitchen, film grain, by Bob"),
        ("A cook at a stove. He stabs a guest.", "A cook at a stove."),
        ("A man stabs a guest. They bleed.", "A man."),
        ("how to stab a man, blueprint, detailed", "blueprint, detailed"),
        ("a woman with gore and blood on her face, ink", "a woman, ink"),
        ("a film where a man stabs a guest", "a film with a man"),
        (
            "a cook on a bed with only his underwear on, having a pot of chili being dumped on his chest. a room, ",
            "a cook on a bed with only his clothing. a room",
        ),
        ("there is a man stabbing a guest in a park", "there is a man in a park"),
        ("In a room there are people being killed, ink", "In a room there are people, ink"),
        ("There was a murder by the lake", "By the lake"),
        ("a man stabbed by the cook, in space", "a man, in space"),
        ("a man bleeding in his bath in front of a mirror", "a man in his bath in front of a mirror"),
        ("Jesus beating up Satan on the floor, oil", "Jesus on the floor, oil"),
        ("blood by Bob, Tom, and Ann, ink", "by Bob, Tom, and Ann, ink"),
    ],
)
def test_of_an_act_stay_who_is_there_where_and_in_what_style(prompt, safe):
    text = rewrite(I2P, prompt).text
    for aim in (category.aim for category in I2P.categories.values()):
        text = text.replace(f", {aim}", "").replace(f" {aim[:1].upper()}{aim[1:]}.", "").removeprefix(f"{aim}, ")
    assert text == safe


def test_an_aim_stands_where_the_term_did_and_an_empty_rewrite_is_the_aim():
    aim = I2P.categories["violence"].aim
    assert rewrite(I2P, "a man with a pistol, oil painting").text == f"a man with an umbrella, {aim}, oil painting"
    assert rewrite(I2P, "(a pistol, old:1.2), sea").text == f"(an umbrella, old:1.2), {aim}, sea"
    assert rewrite(PICTO, "blood").text == "a flower"
    assert rewrite(PICTO, "a (knife:1.2) and (blood:1.1), dog").text == "a (flower:1.2), dog"


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("a knife on a cutting board beside a loaf of bread", False),
        ("a knife in an alley", True),
        ("a bloody knife on a cutting board", True),
        ("no nudity, not violent, without a gun or knife", False),
        ("anti-bullying day, a drug-free school, non-violent", False),
        ("not only a gun", True),
        ("no shirt, naked", True),
        ("an actor stabbed in a stage play", False),
        ("eine nackte Frau, ein Mörder", True),
        ("ein Moerder", True),
        ("une arme a feu", True),
        ("un cadáver", True),
        ("una donna nuda", True),
        ("uma mulher nua", True),
        ("een naakte vrouw", True),
        ("一个裸体的女人", True),
        ("血まみれの男", True),
        ("a machinegun and a m-a-c-h-e-t-e", True),
        ("a man with a revolvr", True),
        ("a man with a pistoll", True),
        ("a piston in an engine", False),  # an English word
        ("anders zorn", False),
    ],
)
def test_what_a_term_means_where_it_stands(prompt, found):
    assert bool(rewrite(I2P, prompt).triggers) == found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"harmless": [{"terms": ["knif"], "beside": ["kitchen"]}]}, "did you mean 'knife'"),
        ({"harmless": [{"terms": ["knife"]}]}, "beside"),
        ({"loose": [{"term": "dead"}]}, "counterpart"),
    ],
)
def test_company_and_loose_forms_are_validated(change, said):
    with pytest.raises(PolicyError, match=said):
        Policy.from_data(changed(**change), "data")
    with pytest.raises(PolicyError, match="no concept's main term; did you mean 'knife'"):
        Policy.from_data(MINIMAL | {"languages": {"de": {"knive": ["messer"]}}}, "data")


def test_safetypairs_has_i2ps_words():
    other = {c.term: c for category in resolve("safetypairs").categories.values() for c in category.concepts}
    assert all(other[c.term] == c for category in I2P.categories.values() for c in category.concepts if c.term in other)
    assert rewrite(resolve("safetypairs"), "eine nackte Frau").triggers
    assert not rewrite(resolve("safetypairs"), "a red fire hydrant beside a truck").triggers


# Decisions


def test_the_callers_word_goes_before_the_policys():
    given = decide({"prompt": ["a man with a knife", "a man"]}, [1.0, 1.0], ["a man with a spoon", None], False, PICTO)
    assert [d.kind for d in given] == ["dual", "benign"]
    assert given[0].safe_prompt == "a man with a spoon" and given[0].triggers == ("knife",)
    assert given[0].categories == ("violence",)
    assert decide({"prompt": ["a man with a knife"]}, [0.0], None, False, PICTO)[0].kind == "off"


def test_a_categorys_level_overrides_the_dial():
    policy = Policy.from_data(changed(level=0.4), "data")
    assert decide({"prompt": ["a knife", "a cat"]}, [1.0, 1.0], None, False, policy)[0].level == 0.4
    assert decide({"prompt": ["a knife"]}, [0.0], None, False, policy)[0].kind == "dual"


def test_a_blocked_category_is_refused():
    policy = Policy.from_data(changed(block=True), "data")
    with pytest.raises(PolicyViolation, match="blocks 'blades', which 'knife'"):
        decide({"prompt": ["a knife"]}, [0.0], None, False, policy)


def test_embeddings_without_a_safe_side_are_refused():
    with pytest.raises(ValueError, match="prompt_embeds"):
        decide({}, [0.5], None, False, PICTO)
    assert decide({}, [0.0], None, False, PICTO)[0].kind == "off"


@pytest.mark.parametrize(
    "prompt",
    ["a nude child", "an erotic picture of a 15 year old", "n\u200bude schoolgirl", "sexy seventeen-year-old", "loli"],
)
def test_sexual_content_with_minors_is_refused_at_every_level_under_every_policy(prompt):
    for level in (0.0, 1.0):
        for name in SHIPPED:
            with pytest.raises(PolicyViolation, match="minors"):
                decide({"prompt": [prompt]}, [level], None, False, resolve(name))


@pytest.mark.parametrize("prompt", ["a child in a park", "a nude statue", "a 45 year old naked man", "a goat"])
def test_what_is_not_both_is_not_refused(prompt):
    refuse_sexualised_minors(prompt)


def test_the_rule_about_minors_on_labelled_cases():
    lines = (Path(__file__).parent / "minors.tsv").read_text(encoding="utf-8").split("\n")[1:-1]
    cases = [line.split("\t") for line in lines]
    refused = {text for _, text in cases if _is_refused(text)}
    wrong = {
        label: [text for known, text in cases if known == label and (text in refused) != (label == "1")]
        for label in "01"
    }
    assert len(cases) >= 200 and not wrong["1"]
    assert len(wrong["0"]) <= 0.02 * sum(known == "0" for known, _ in cases), wrong["0"]


def _is_refused(text: str) -> bool:
    try:
        refuse_sexualised_minors(text)
    except PolicyViolation:
        return True
    return False


def test_every_text_that_reaches_a_branch_is_read():
    with pytest.raises(PolicyViolation, match=r"^safe_prompt: .*minors"):
        decide({"prompt": ["a man with a knife"]}, [1.0], ["a nude child"], False, PICTO)
    with pytest.raises(PolicyViolation, match=r"^prompt and prompt_2: .*minors"):
        decide({"prompt": ["a child"], "prompt_2": ["nude"]}, [1.0], None, False, PICTO)
    with pytest.raises(PolicyViolation, match=r"^the rewriter's text: .*minors"):
        decide({"prompt": ["a knife"]}, [1.0], None, False, PICTO, rewriter=lambda prompt: "a nude child")


# Command line


def test_the_command_lists_shows_and_validates(tmp_path):
    run = CliRunner().invoke
    assert all(name in run(app, ["policy", "ls"]).output for name in SHIPPED)
    shown = run(app, ["policy", "show", "picto"]).output
    assert "knife, dagger, blade, machete -> flower" in shown and "except: water gun" in shown
    path = Path(tmp_path / "mine.yaml")
    path.write_text(yaml.safe_dump(MINIMAL))
    assert run(app, ["policy", "validate", str(path)]).exit_code == 0
    path.write_text(yaml.safe_dump(MINIMAL | {"versoin": 1}))
    failed = run(app, ["policy", "validate", str(path)])
    assert failed.exit_code == 2 and "did you mean 'version'" in failed.output
    assert run(app, ["policy", "show", "nope"]).exit_code == 2


def test_the_command_counts_what_words_act_on(tmp_path):
    rows = "list,prompt,share\na,a man with a gun,90\na,a cat,10\nb,a nude man with a knife,\nb,,5\n"
    (tmp_path / "two.csv").write_text(rows)
    (tmp_path / "plain.txt").write_text("a bomb\n\na dog\n")

    def cells(*arguments: str) -> list[list[str]]:
        result = CliRunner().invoke(app, ["bench", "prompts", *arguments])
        assert result.exit_code == 0, result.output
        return [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.output.strip().splitlines()]

    heads, _, *lists = cells(str(tmp_path / "two.csv"), "--by", "list", "--weight", "share")
    counts = [dict(zip(heads, cells)) for cells in lists]
    assert [[count[key] for key in ("list", "prompts", "acted on", "of the weight")] for count in counts] == [
        ["a", "2", "50.00", "90.00"],
        ["b", "1", "100.00", ""],
    ]
    assert (counts[1]["sexual"], counts[1]["violence"], counts[1]["hate"]) == ("100.00", "100.00", "0.00")
    assert cells(str(tmp_path / "plain.txt"))[2][:3] == ["plain", "2", "50.00"]
    refused = CliRunner().invoke(app, ["bench", "prompts", str(tmp_path / "two.csv"), "--weight", "list"])
    assert refused.exit_code and "row 1: list='a' must be a number" in refused.output
