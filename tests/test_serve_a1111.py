"""What clients of A1111's API send, and what they get."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from served import EXPLICIT, Says, error, picture, serving

from dualsafe.judges import Verdict
from dualsafe.serve.a1111 import TXT2IMG, Txt2Img

AS_SENT = {
    "prompt": EXPLICIT, "negative_prompt": "blurry", "styles": [], "seed": 7, "subseed": -1, "subseed_strength": 0,
    "sampler_name": "DPM++ 2M", "batch_size": 1, "n_iter": 2, "steps": 3, "cfg_scale": 5, "width": 64, "height": 64,
    "restore_faces": False, "tiling": False, "enable_hr": False, "override_settings": {}, "send_images": True,
    "save_images": False, "alwayson_scripts": {"controlnet": {"args": []}},
}  # fmt: skip


@pytest.fixture(scope="module")
def client(picto_dual) -> Iterator[TestClient]:
    with serving(picto_dual, min_level=0.5) as client:
        yield client


def test_a_request_as_their_clients_send_it(picto_dual):
    with serving(picto_dual, allow_pairs=True) as client:
        found = client.post(TXT2IMG, json=AS_SENT | {"return_pair": True}).json()
        ours = {"prompt": EXPLICIT, "n": 2, "seed": 7, "steps": 3, "guidance_scale": 5, "size": "64x64"}
        same = client.post("/v1/images/generations", json=ours | {"return_pair": True}).json()["data"]
    info = json.loads(found["info"])
    expected = [picture["b64_json"] for picture in same] + [picture["unsafe_b64_json"] for picture in same]
    assert found["images"] == expected and picture(found["images"][0]).size == (64, 64)
    assert info["all_seeds"] == [7, 8] and info["all_prompts"] == [EXPLICIT] * 2 and "Seed: 8" in info["infotexts"][1]
    assert [picture["decision"] for picture in info["dualsafe"]["pictures"]] == ["dual", "dual"]
    assert info["dualsafe"]["ignored"] == ["negative_prompt", "sampler_name", "alwayson_scripts.controlnet"]
    assert found["parameters"]["sampler_name"] == "DPM++ 2M"


@pytest.mark.parametrize("args", [[{"safety_level": 0.5}], [0.5], ["medium"]])
def test_a_level_where_their_extensions_look_for_it(args):
    beside = Txt2Img(prompt=EXPLICIT, safety_level=args[0]["safety_level"] if isinstance(args[0], dict) else args[0])
    script = Txt2Img(prompt=EXPLICIT, alwayson_scripts={"dualsafe": {"args": args}})
    assert script.as_ours() == beside.as_ours() and not script.ignored


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"width": 64, "height": None}, "give both or neither"),
        ({"width": 100, "height": 64}, "size='100x64': accepted here are"),
        ({"alwayson_scripts": {"dualsafe": {"args": [{"level": 1}]}}}, "give {'args': [{'safety_level'"),
        ({"safety_level": 0.1}, "the minimum here is 0.5"),
        ({"return_pair": True}, "unsafe originals do not leave this service"),
        ({"batch_size": 100}, "the most that is accepted here"),
        ({"prompt": ""}, "prompt="),
        ({"seed": "any"}, "seed='any'"),
    ],
)
def test_what_the_service_refuses_it_refuses_here(client, more, said):
    answer = client.post(TXT2IMG, json=AS_SENT | more)
    assert answer.status_code == 400 and said in error(answer)["message"]


def test_a_withheld_picture_is_left_out_and_its_key_is_asked_for(picto_dual):
    first = Says(Verdict(True, 1.0), Verdict(False, 0.1))
    with serving(picto_dual, verify=first, api_keys=("secret-of-the-operator",)) as client:
        assert client.post(TXT2IMG, json=AS_SENT).status_code == 401
        client.headers["Authorization"] = "Bearer secret-of-the-operator"
        found = client.post(TXT2IMG, json=AS_SENT).json()
    info = json.loads(found["info"])
    assert len(found["images"]) == 1 and info["all_seeds"] == [8]
    assert [picture["withheld"] for picture in info["dualsafe"]["pictures"]] == [True, False]
