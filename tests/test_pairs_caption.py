"""Captions and instructions for existing pictures; an answer that is none never becomes one."""

from __future__ import annotations

import base64
import io

import pytest
from chat_server import chat
from PIL import Image
from tiny_llava import save_llava

from dualsafe.errors import CheckpointError, PairsError
from dualsafe.pairs import caption
from dualsafe.pairs.caption import instruction_for, load_captioner
from dualsafe.policy import resolve, rewrite

RED = Image.new("RGB", (40, 30), "red")
PICTO = resolve("picto")


def told(prompt: str, *categories: str, policy=PICTO) -> str | None:
    return instruction_for(policy, categories, rewrite(policy, prompt).triggers)


def test_an_instruction_follows_from_the_policy_alone():
    assert told("a man with a dagger, covered in blood") == (
        "Replace the dagger with a flower. Remove the blood. Keep everything else as it is."
    )
    assert told("a gun and a gun") == "Replace the gun with an umbrella. Keep everything else as it is."


def test_where_the_caption_names_nothing_the_categories_aims_are_shown():
    nude = told("a woman by a lake", "O4", "unknown", policy=resolve("safetypairs"))
    assert nude == "Change the picture to show: fully clothed. Keep everything else as it is."
    assert told("a cat") is None and told("a cat", "unknown") is None


def test_a_request_names_every_category_with_its_aim():
    request = caption.request_for(PICTO)
    for name, category in PICTO.categories.items():
        assert f"- {name}: {category.description} Safe instead: {category.aim}." in request


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("  Replace the knife\nwith a flower. ", "Replace the knife with a flower."),
        ('"Remove the gun."', "Remove the gun."),
        ("I see a man who is sorry.", "I see a man who is sorry."),
        ("None of the men wears a hat.", "None of the men wears a hat."),
    ],
)
def test_an_answer_is_one_plain_line(said, read):
    assert caption.checked_answer(said) == read


REFUSALS = ["I'm sorry, but I can't help with that.", "I cannot assist.", "I can’t describe this.", "As an AI, I"]
REFUSALS += ["Sorry, no.", "I am unable to look at that.", "I won't edit this.", "Unfortunately this isn't allowed."]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "no answer"),
        (" \n ", "no answer"),
        ("...", "no answer"),
        ("NONE", "nothing unsafe"),
        ("None.", "nothing unsafe"),
        ("a" * 601, "601 characters, more than 600"),
        *((text, "refused") for text in REFUSALS),
    ],
)
def test_an_answer_that_is_none_is_an_error(said, reason):
    with pytest.raises(PairsError, match=reason):
        caption.checked_answer(said)


def test_a_vision_language_model_is_asked_about_the_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(caption, "MAX_TOKENS", 8)
    asked = load_captioner(f"vlm:{save_llava(tmp_path / 'llava')}")
    said = [asked.caption(RED), asked.instruction(RED, PICTO), asked.caption(Image.new("L", (40, 30)))]
    assert asked.name == "vlm:llava" and len(set(said)) == 3 and all(0 < len(text) <= 8 for text in said)


@pytest.fixture
def server(monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with chat({"good": "Remove the gun."}) as server:
        yield server


def test_an_endpoint_is_shown_the_picture_and_the_policy(server):
    asked = load_captioner(f"endpoint:{server.address('good')}:eye")
    assert asked.instruction(RED, PICTO) == asked.caption(RED) == "Remove the gun." and asked.name == "endpoint:eye"
    requests = [each["messages"][0]["content"] for each in server.asked]
    data = base64.b64decode(requests[0][1]["image_url"]["url"].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(data)).tobytes() == RED.tobytes()
    assert [text["text"] for text, _ in requests] == [caption.request_for(PICTO), caption.CAPTION]


@pytest.mark.parametrize("kind", ["refusing", "empty"])
def test_an_endpoint_that_refuses_gives_no_caption(server, kind):
    with pytest.raises(PairsError, match="the model gave no answer"):
        load_captioner(f"endpoint:{server.address(kind)}:eye").caption(RED)


@pytest.mark.parametrize("spec", ["", "vlm", "vlm:", "endpoint:eye", "endpoint:http://localhost", "llava:x"])
def test_an_unknown_captioner_is_told_the_forms(spec):
    with pytest.raises(ValueError, match="must be one of: vlm:PATH, endpoint:BASE_URL:MODEL"):
        load_captioner(spec)


def test_a_captioner_that_isnt_there_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere cannot be loaded"):
        load_captioner(f"vlm:{tmp_path / 'nowhere'}")
