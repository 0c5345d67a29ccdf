"""Judges that are asked in words, LlavaGuard and ShieldGemma 2; an answer that cannot be read is never safe."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_llava import CHAT, TOWER, save_llava, tokenizer
from transformers import ShieldGemma2Config, ShieldGemma2ForImageClassification, ShieldGemma2Processor
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

from dualsafe.judges import (
    LlavaGuardJudge,
    ShieldGemmaJudge,
    Verdict,
    endpoint,
    llavaguard,
    name_of,
)

RED, BLUE = (Image.new("RGB", (40, 30), colour) for colour in ("red", "blue"))


def answer(**changes: object) -> str:
    fields = {"rating": "Unsafe", "category": "O2: Violence, Harm, or Cruelty", "rationale": "A fight."} | changes
    return json.dumps({key: value for key, value in fields.items() if value is not None})


@pytest.mark.parametrize("frame", ["{}", "```json\n{}\n```", "Here you are:\n{}\nStay safe.", "\n  {}  \n"])
def test_llavaguards_answer_is_read_whatever_stands_around_it(frame):
    read = llavaguard.read_answer(frame.replace("{}", answer()))
    assert read == Verdict(True, concepts=("O2",), rationale="A fight.")
    safe = frame.replace("{}", answer(rating="Safe", category="NA: None applying"))
    assert llavaguard.read_answer(safe) == Verdict(False, rationale="A fight.")


@pytest.mark.parametrize(
    ("category", "seen"),
    [("O3: Sexual", ("O3",)), ("O6", ("O6",)), ("Violence", ()), (None, ()), (["O1: Hate"], ("O1",))],
)
def test_categories_are_told_by_their_number(category, seen):
    assert llavaguard.read_answer(answer(category=category, rating="Highly Unsafe")).concepts == seen


MALFORMED = [
    "",
    "Safe",
    "The image is safe.",
    "I can't help with that.",
    "{}",
    "[]",
    "null",
    '"safe"',
    '{"rating": "Safe"',
    '{"rating": Safe}',
    "{'rating': 'Safe'}",
    '{"rating": "Safe", "rationale": "cut o',
    '{"rating": "Safe"} {"rating": "Unsafe"}',
    '{"rating": "Safe"} No: {"rating": "Unsa',
    '{"rating": "Safe", "rating": "Unsafe"}',
    '[{"rating": "Safe"}, {"rating": "Safe"}]',
    '{"answer": {"rating": "Safe"}}',
    '} {"rating": "Safe"} {',
    '{"a": ' * 100_000 + "}" * 100_000,
    *(
        answer(rating=rating)
        for rating in ("", "Safe?", "not safe", "Safe or Unsafe?", "mostly safe", True, 0, ["Safe"])
    ),
    answer(rating=None),
]


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
def test_an_answer_that_cant_be_read_is_a_refusal_and_unsafe(text):
    verdict = llavaguard.read_answer(text)
    assert verdict.refused and verdict.is_unsafe and verdict.score is None
    assert endpoint.read_answer(text).refused and endpoint.read_answer(text).is_unsafe


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["rating", "unsafe", "score", "x"]) | st.text(), inner)
    ),
)


@given(st.text() | JSON.map(json.dumps))
def test_nothing_is_safe_that_doesnt_say_so(text):
    if '"safe"' not in text.lower():
        assert llavaguard.read_answer(text).is_unsafe
    if "false" not in text:
        assert endpoint.read_answer(text).is_unsafe


def test_llavaguard_asks_its_model(tmp_path):
    judge = LlavaGuardJudge.from_pretrained(save_llava(tmp_path / "guard"))
    judge._max_new_tokens = 8
    text = judge._answer(RED)
    assert len(text) <= 8 and text == judge._answer(RED)
    assert judge.verdicts([RED, BLUE.convert("L")])[0] == Verdict(True, refused=True, rationale=text)
    assert name_of(judge) == "llavaguard:guard"


@pytest.fixture
def shieldgemma(tmp_path):
    """A ShieldGemma 2 whose first tokens are its "Yes" and "No", saved to a folder."""
    torch.manual_seed(0)
    words = tokenizer(boi_token="<boi>", eoi_token="<eoi>", image_token="<image>")
    images = Gemma3ImageProcessorPil(size={"height": 28, "width": 28})
    processor = ShieldGemma2Processor(images, words, chat_template=CHAT.replace("IMAGE", "<boi>"), image_seq_length=4)
    config = ShieldGemma2Config(
        text_config=TOWER | {"model_type": "gemma3_text", "vocab_size": len(words), "head_dim": 8},
        vision_config=TOWER | {"model_type": "siglip_vision_model", "image_size": 28, "patch_size": 7},
        mm_tokens_per_image=4,
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
        image_token_index=words.image_token_id,
        yes_token_index=words.convert_tokens_to_ids("Y"),
        no_token_index=words.convert_tokens_to_ids("N"),
    )
    model = ShieldGemma2ForImageClassification(config).eval()
    for part in (model, processor):
        part.save_pretrained(tmp_path / "gemma")
    return model, processor, tmp_path / "gemma"


def test_shieldgemma_says_yes_where_a_policy_is_violated(shieldgemma):
    model, processor, folder = shieldgemma
    judge = ShieldGemmaJudge.from_pretrained(folder)
    yes = judge.probabilities(RED)
    inputs = processor(images=[RED], return_tensors="pt")
    with torch.no_grad():
        logits = model.model(**inputs).logits[:, -1]
    pair = logits[:, [model.yes_token_index, model.no_token_index]].softmax(-1)[:, 0]
    assert list(yes) == ["dangerous", "sexual", "violence"] and list(yes.values()) == pytest.approx(pair.tolist())
    assert name_of(judge) == "shieldgemma:gemma@0.5"


def test_shieldgemmas_verdict_is_its_worst_policys(shieldgemma):
    model, processor, _ = shieldgemma
    yes = ShieldGemmaJudge(model, processor).probabilities(BLUE)
    worst = max(yes, key=yes.get)
    threshold = sorted(yes.values())[-2] + 1e-6
    verdict = ShieldGemmaJudge(model, processor, threshold=threshold).verdicts([BLUE])[0]
    assert verdict == Verdict(True, yes[worst], (worst,))
    assert not ShieldGemmaJudge(model, processor, threshold=yes[worst] + 1e-6).verdicts([BLUE])[0].is_unsafe


def test_shieldgemma_takes_policies_of_ones_own(shieldgemma):
    model, processor, _ = shieldgemma
    judge = ShieldGemmaJudge(model, processor, {"blue": "No blue.", "red": "No red: The image shall not be red."})
    assert list(judge.probabilities(RED.convert("RGBA"))) == ["blue", "red"]
