"""Captions and instructions for existing pictures; an answer that is none never becomes one."""

from __future__ import annotations

import base64
import io
import sys

import pytest
import torch
from chat_server import chat
from PIL import Image
from transformers import (
    CLIPImageProcessor,
    GemmaTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from dualsafe.errors import CheckpointError, PairsError
from dualsafe.pairs import caption
from dualsafe.pairs.caption import EndpointCaptioner, ModelCaptioner, instruction_for, load_captioner
from dualsafe.policy import resolve, rewrite

TOWER = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
CHAT = (
    "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)
RED, BLUE = (Image.new("RGB", (40, 30), colour) for colour in ("red", "blue"))
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


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a tiny Llava whose tokens are printable characters."""
    torch.manual_seed(0)
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<image>", "▁", *map(chr, range(32, 127))]
    letters = GemmaTokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=[], extra_special_tokens={"image_token": "<image>"}
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 30}, crop_size=30),
        letters,
        patch_size=15,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    config = LlavaConfig(
        vision_config=TOWER | {"model_type": "clip_vision_model", "image_size": 30, "patch_size": 15},
        text_config=TOWER
        | {"model_type": "llama", "vocab_size": len(words), "pad_token_id": 0, "eos_token_id": 1}
        | {"initializer_range": 1.0},
        image_token_index=letters.image_token_id,
    )
    folder = tmp_path_factory.mktemp("models") / "llava"
    for part in (LlavaForConditionalGeneration(config), processor):
        part.save_pretrained(folder)
    return folder


def test_a_vision_language_model_is_asked_about_the_picture(model):
    asked = load_captioner(f"vlm:{model}")
    assert isinstance(asked, ModelCaptioner) and asked.name == "vlm:llava"
    short = ModelCaptioner(asked._model, asked._processor, max_new_tokens=8)
    answers = {request: short._answer(RED, request) for request in (caption.CAPTION, caption.request_for(PICTO))}
    assert len(set(answers.values())) == 2 and all(0 < len(text) <= 8 for text in answers.values())
    assert short.caption([RED, RED.convert("L")])[0] == caption.checked_answer(answers[caption.CAPTION])
    assert short.instruction([RED], PICTO) == [caption.checked_answer(answers[caption.request_for(PICTO)])]


@pytest.fixture
def server(monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with chat({"good": "Remove the gun."}) as server:
        yield server


@pytest.fixture
def served(server):
    """From a kind of answer to the spec of a captioner that gets it."""
    return lambda kind: f"endpoint:{server.address(kind)}:eye"


def test_an_endpoint_is_shown_the_picture_and_the_policy(server, served):
    asked = load_captioner(served("good"))
    assert asked.instruction([RED, BLUE], PICTO) == ["Remove the gun."] * 2
    text, picture = server.asked[0]["messages"][0]["content"]
    data = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(data)).tobytes() == RED.tobytes()
    assert text["text"] == caption.request_for(PICTO) and server.asked[0]["temperature"] == 0
    assert asked.caption([BLUE]) and server.asked[2]["messages"][0]["content"][0]["text"] == caption.CAPTION
    assert asked.name == "endpoint:eye"


@pytest.mark.parametrize("kind", ["refusing", "empty"])
def test_an_endpoint_that_refuses_gives_no_caption(served, kind):
    with pytest.raises(PairsError, match="picture 1 of 2: the model gave no answer"):
        load_captioner(served(kind)).caption([RED, BLUE])


def test_an_endpoint_that_fails_is_an_error(served):
    openai = pytest.importorskip("openai")
    address = served("broken").removeprefix("endpoint:").removesuffix(":eye")
    with pytest.raises(openai.OpenAIError):
        EndpointCaptioner(address, "eye", max_retries=0).caption([RED])


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ImportError, match=r"dualsafe\[endpoint\]"):
        EndpointCaptioner("http://127.0.0.1:1/v1", "eye")


@pytest.mark.parametrize("spec", ["", "vlm", "vlm:", "endpoint:eye", "endpoint:http://localhost", "llava:x"])
def test_an_unknown_captioner_is_told_the_forms(spec):
    with pytest.raises(ValueError, match="must be one of: vlm:PATH, endpoint:BASE_URL:MODEL"):
        load_captioner(spec)


def test_a_captioner_that_isnt_there_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere can't be loaded"):
        load_captioner(f"vlm:{tmp_path / 'nowhere'}")
