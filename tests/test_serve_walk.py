"""Every parameter that a client can send, at the operator's minimum level: nothing brings the unsafe original out."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from served import EXPLICIT as PROMPT
from served import pixels, serving

from dualsafe.serve.app import EDITS, GENERATIONS, IGNORED
from dualsafe.serve.schema import EditRequest, ImageRequest

MIN_LEVEL, MIN_STEPS = 0.25, 8
SAME = 2
"""Grey levels that rounding makes."""
# What each parameter may be: the values at both ends, and those that might have an effect.
IDLE = {
    "model": ["picto"],
    "user": ["me"],
    "safety_identifier": ["me"],
    "response_format": ["b64_json"],
    "quality": ["low", "max", "hd"],
    "complexity": ["high"],
    "background": ["opaque"],
    "output_format": ["png"],
    "output_compression": [0, 100],
    "partial_images": [0],
    "stream": [False],
}
EFFECTIVE = {
    "prompt": [PROMPT],
    "n": [1, 2],
    "size": ["auto", "96x64"],
    "safety_level": [MIN_LEVEL, str(MIN_LEVEL), "low", 1.0],
    "policy": ["picto"],
    "return_pair": [True],
    "seed": [0, 2**53 - 1],
    "steps": [MIN_STEPS, 50],
    "guidance_scale": [0, 1, 20],
}
WALKED = {
    GENERATIONS: (ImageRequest, EFFECTIVE, IDLE | {"moderation": ["low"], "style": ["vivid"]}),
    EDITS: (EditRequest, {"strength": [0.4, 1.0]}, {"input_fidelity": ["high"]}),
}


@pytest.fixture(scope="module")
def client(picto_dual) -> Iterator[TestClient]:
    least = {"min_level": MIN_LEVEL, "default_level": MIN_LEVEL, "min_steps": MIN_STEPS, "steps": MIN_STEPS}
    with serving(picto_dual, allow_pairs=True, sizes=("64x64", "96x64"), **least) as client:
        yield client


def pictures(answer) -> list[tuple[np.ndarray, np.ndarray]]:
    """Safe and unsafe side of each entry."""
    assert answer.status_code == 200, answer.text
    return [(pixels(entry["b64_json"]), pixels(entry["unsafe_b64_json"])) for entry in answer.json()["data"]]


def assert_safe(answer) -> None:
    for safe, unsafe in pictures(answer):
        assert np.abs(safe - unsafe).max() > SAME
    assert all(entry["decision"] == "dual" for entry in answer.json()["data"])


def test_every_parameter_is_walked():
    for path, (model, effective, idle) in WALKED.items():
        shared = EFFECTIVE.keys() | IDLE.keys() if path == EDITS else set()
        assert effective.keys() | idle.keys() | shared == model.model_fields.keys()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in EFFECTIVE.items() for value in values])
def test_no_parameter_brings_the_original_out(client, name, value):
    assert_safe(client.post(GENERATIONS, json={"prompt": PROMPT, "seed": 3, "return_pair": True, name: value}))


def test_what_has_no_effect_has_none_and_is_named(client):
    body = {"prompt": PROMPT, "seed": 3, "return_pair": True}
    plain = pictures(client.post(GENERATIONS, json=body))
    idle = WALKED[GENERATIONS][2]
    for last in (0, -1):
        answer = client.post(GENERATIONS, json=body | {name: values[last] for name, values in idle.items()})
        assert np.array_equal(pictures(answer), plain)
        assert "quality" in answer.headers[IGNORED] and "style" in answer.headers[IGNORED]
        assert "user" not in answer.headers[IGNORED]


@pytest.mark.parametrize("body", [{"safety_level": MIN_LEVEL - 0.01}, {"safety_level": "-0"}, {"steps": MIN_STEPS - 1}])
def test_what_is_under_the_minimum_is_refused(client, body):
    answer = client.post(GENERATIONS, json={"prompt": PROMPT, "seed": 3} | body)
    assert answer.status_code == 400 and "b64" not in answer.text


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def knife(picto_dual) -> Image.Image:
    """The unsafe original, as what somebody may upload."""
    return picto_dual(PROMPT, safety_level=0, num_inference_steps=8).images[0]


@pytest.fixture(scope="module")
def hole(knife) -> bytes:
    mask = np.full((64, 64, 4), 255, np.uint8)
    mask[16:56, 8:56, 3] = 0
    return png(Image.fromarray(mask))


@pytest.mark.parametrize("strength", WALKED[EDITS][1]["strength"])
@pytest.mark.parametrize("masked", [False, True])
def test_an_edit_is_as_safe(client, knife, hole, masked, strength):
    files = {"image": png(knife)} | ({"mask": hole} if masked else {})
    form = {"prompt": PROMPT, "seed": "3", "steps": "20", "strength": str(strength), "return_pair": "true", "n": "2"}
    answer = client.post(EDITS, data=form | {"quality": "high"}, files=files)
    assert_safe(answer)
    assert answer.headers[IGNORED] == "quality"
    if masked:
        kept = np.asarray(knife, int)[:8]
        assert all(np.abs(safe[:8] - kept).mean() < 12 for safe, _ in pictures(answer))


@pytest.mark.parametrize(
    ("form", "files", "param", "said"),
    [
        ({"strength": "0.3"}, {}, "strength", "0.3 of 8 steps are 2, and the least that is accepted here is 8"),
        ({"strength": "0"}, {}, "strength", "strength='0'"),
        ({"steps": "20", "strength": "nan"}, {}, "strength", "strength='nan'"),
        ({"n": "many"}, {}, "n", "n='many'"),
        ({"stream": "true"}, {}, "stream", "stream=True"),
        ({"sed": "1"}, {}, "sed", "did you mean 'seed'?"),
        ({"safety_level": "0"}, {}, "safety_level", "the minimum here is 0.25"),
        ({"size": "32x32"}, {}, "size", "accepted here are"),
        ({}, {"image": b"GIF89a"}, "image", "image is no whole PNG, JPEG or WebP"),
        ({}, {"mask": png(Image.new("RGBA", (8, 8)))}, "mask", "mask is 8x8, image 64x64: give one size"),
        ({}, {"mask": png(Image.new("RGB", (64, 64)))}, "mask", "mask has no transparent pixel"),
        ({}, {"markup": b"x"}, "markup", "markup is a file: files are image and mask"),
        ({"image": "x"}, {}, "image", "image must be a file"),
    ],
)
def test_an_edit_that_cant_be_is_refused_in_a_sentence(client, knife, form, files, param, said):
    files = {"image": png(knife)} | files
    answer = client.post(EDITS, data={"prompt": PROMPT, "strength": "1"} | form, files=files)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param and said in answer.json()["error"]["message"]


def test_a_body_that_is_no_form_is_refused(client):
    for answer in (
        client.post(EDITS, json={"prompt": PROMPT}),
        client.post(EDITS, content=b"--x", headers={"content-type": "multipart/form-data; boundary=x"}),
        client.post(EDITS, content=b"--x", headers={"content-type": "multipart/form-data"}),
        client.post(EDITS, data={"prompt": PROMPT}, files={"other": b""}),
    ):
        assert answer.status_code == 400 and answer.json()["error"]["code"], answer.text


def test_edits_can_be_left_out(picto_dual, knife):
    with serving(picto_dual, edits=False) as client:
        answer = client.post(EDITS, data={"prompt": PROMPT}, files={"image": png(knife)})
        assert answer.status_code == 404 and json.loads(answer.text)["error"]["code"] == "not_found"
        assert client.get("/v1/models").json()["data"][0]["limits"]["edits"] == []
