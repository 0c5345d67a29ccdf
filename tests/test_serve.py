"""The service's routes on picto: every argument, every refusal, and nothing unsafe by mistake."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from served import BENIGN, EXPLICIT, Says, error, picture, serving
from typer.testing import CliRunner

from dualsafe.cli import app
from dualsafe.judges import Verdict
from dualsafe.serve.app import EDITS, create_app
from dualsafe.serve.app import GENERATIONS as PATH
from dualsafe.serve.settings import ServeSettings, find_keys


def apart(a: Image.Image, b: Image.Image) -> int:
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


@pytest.fixture(scope="module")
def client(picto_dual) -> Iterator[TestClient]:
    with serving(picto_dual) as client:
        yield client


def ask(client: TestClient, **body):
    return client.post(PATH, json={"prompt": BENIGN} | body)


def test_an_answer_has_the_librarys_own_pictures(client, picto_dual, seeds):
    answer = ask(client, prompt=EXPLICIT, n=2, seed=7, steps=4, guidance_scale=3, size="64x64", user="me").json()
    alone = picto_dual([EXPLICIT] * 2, generator=seeds(7, 8), num_inference_steps=4, guidance_scale=3.0)
    assert [entry["seed"] for entry in answer["data"]] == [7, 8] and answer["created"] > 1.7e9
    for entry, image, report in zip(answer["data"], alone.images, alone.safety):
        assert apart(picture(entry["b64_json"]), image) <= 1
        assert entry["revised_prompt"] == report.safe_prompt and entry["decision"] == "dual"
        assert entry["categories"] == ["violence"] and entry["policy"] == report.policy
        assert not entry["withheld"] and entry["unsafe_b64_json"] is None and entry["safety_level"] == 1


def test_what_is_left_out_is_the_services_own(client, picto_dual, seeds):
    entry = ask(client, model="picto", n=None, size="auto", response_format=None, quality="auto").json()["data"][0]
    again = picto_dual(BENIGN, generator=seeds(entry["seed"]), num_inference_steps=3, guidance_scale=5.0)
    assert apart(picture(entry["b64_json"]), again.images[0]) <= 1
    said = again.safety[0]  # under some seeds the stock picture shows something unsafe
    assert (entry["decision"], entry["revised_prompt"]) == (said.decision, said.safe_prompt)
    assert ask(client).json()["data"][0]["seed"] != entry["seed"]


@pytest.mark.parametrize(
    ("body", "status", "param", "said"),
    [
        ({"n": 0}, 400, "n", "n=0: Input should be greater than or equal to 1"),
        ({"n": 5}, 400, "n", "n=5: the most that is accepted here is 4"),
        ({"n": "2"}, 400, "n", "n='2'"),
        ({"n": True}, 400, "n", "n=True"),
        ({"prompt": ""}, 400, "prompt", "prompt=''"),
        ({"prompt": None}, 400, "prompt", "prompt=None"),
        ({"prompt": "x" * 4001}, 400, "prompt", "4001 characters, over the 4000"),
        ({"size": "1024x1024"}, 400, "size", "size='1024x1024': accepted here are auto, 64x64"),
        ({"steps": 51}, 400, "steps", "steps=51: the most that is accepted here is 50"),
        ({"steps": 10**30}, 400, "steps", "the most"),
        ({"guidance_scale": 21}, 400, "guidance_scale", "guidance_scale=21.0: the most that is accepted here is 20"),
        ({"seed": -1}, 400, "seed", "seed=-1"),
        ({"seed": 2**64}, 400, "seed", "seed=18446744073709551616"),
        ({"response_format": "url"}, 400, "response_format", "ask for 'b64_json'"),
        ({"policy": "i2p"}, 400, "policy", "policy='i2p': accepted here are picto"),
        ({"policy": "/etc/passwd"}, 400, "policy", "accepted here are picto"),
        ({"safety_level": "high"}, 400, "safety_level", "safety_level='high': the minimum here is 1"),
        ({"safety_level": 0}, 400, "safety_level", "safety_level=0.0: the minimum here is 1"),
        ({"safety_level": 1.5}, 400, "safety_level", "give a number in [0, 1]"),
        ({"safety_level": "much"}, 400, "safety_level", "safety_level='much'"),
        ({"prompt": " \n"}, 400, "prompt", "say what to draw"),
        ({"steps": 10**400}, 400, "steps", "the most"),
        ({"seed": 2**53 - 1, "n": 2}, 400, "seed", "with one for each picture"),
        ({"background": "transparent"}, 400, "background", "background='transparent'"),
        ({"output_format": "webp"}, 400, "output_format", "output_format='webp'"),
        ({"partial_images": 2}, 400, "partial_images", "partial_images=2"),
        ({"style": "vague"}, 400, "style", "style='vague'"),
        ({"return_pair": True}, 400, "return_pair", "unsafe originals do not leave"),
        ({"model": "dall-e-3"}, 404, "model", "model='dall-e-3' is not served here: 'picto' is"),
        ({"sed": 3}, 400, "sed", "unknown parameter: did you mean 'seed'?"),
        ({"stream": True}, 400, "stream", "stream=True"),
    ],
)
def test_what_cant_be_is_refused_in_a_sentence(client, body, status, param, said):
    answer = ask(client, **body)
    assert answer.status_code == status and said in error(answer)["message"]
    assert error(answer)["param"] == param and error(answer)["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b"", "must be a JSON object"),
        (b"{}", "prompt is missing"),
        (b'{"prompt": "a cat", "guidance_scale": NaN}', "guidance_scale=nan"),
        (b'{"prompt": "a cat", "n": ' + b"9" * 5000 + b"}", "parsing the body"),
        (b'{"prompt": ' + b"[" * 5000 + b"]" * 5000 + b"}", ""),
        (b'{"prompt": "\\ud800"}', "prompt='\\ud800'"),
        (b'{"prompt": "a cat", "\\ud800\\u0430": 1}', ""),
        (b'{"prompt": "\xff"}', ""),
        (b"\xff\xfe{\x00", ""),
    ],
)
def test_no_body_is_too_strange(client, content, said):
    answer = client.post(PATH, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and said in error(answer)["message"] and error(answer)["code"]


def test_other_bodies_paths_and_methods(client):
    big = client.post(PATH, content=b" " * 100_000, headers={"content-type": "application/json"})
    assert big.status_code == 413 and error(big)["code"] == "body_too_large"
    assert client.post(PATH, data={"prompt": "a cat"}).status_code == 400
    assert error(client.get("/v1/nothing"))["message"] == "GET /v1/nothing: Not Found"
    assert client.get(PATH).status_code == 405 and error(client.get(PATH))


def test_a_prompt_that_is_never_drawn_is_refused_before_the_queue(client):
    drawn = [client.get("/metrics").text.partition("dualsafe_batch_pictures_count")[2].split()[0]]
    answer = ask(client, prompt="a nude 9 year old child")
    drawn.append(client.get("/metrics").text.partition("dualsafe_batch_pictures_count")[2].split()[0])
    assert answer.status_code == 400 and error(answer)["code"] == "policy_violation" and drawn[0] == drawn[1]


def test_the_operator_opens_levels_policies_sizes_and_pairs(picto_dual, seeds):
    settings = {"min_level": "0.25", "policies": ("picto", "i2p"), "sizes": ("64x64", "96x64"), "allow_pairs": True}
    with serving(picto_dual, **settings) as client:
        body = {"prompt": EXPLICIT, "seed": 3, "return_pair": True, "safety_level": "medium", "size": "96x64"}
        entry = ask(client, **body).json()["data"][0]
        refused = ask(client, safety_level="off")
        limits = client.get("/v1/models").json()["data"][0]["limits"]
        assert ask(client, policy="i2p").json()["data"][0]["policy"].startswith("i2p")
    pair = picto_dual(
        *(EXPLICIT, 64, 96, 3), guidance_scale=5.0, safety_level=0.5, return_pair=True, generator=seeds(3)
    )
    assert entry["safety_level"] == 0.5 and picture(entry["b64_json"]).size == (96, 64)
    assert apart(picture(entry["b64_json"]), pair.images[0]) <= 1
    assert apart(picture(entry["unsafe_b64_json"]), pair.unsafe_images[0]) <= 1
    assert '"unsafe"' in picture(entry["unsafe_b64_json"]).text["dualsafe"]
    assert error(refused)["message"] == "safety_level='off': the minimum here is 0.25"
    assert limits["sizes"] == ["64x64", "96x64"] and limits["policies"] == ["picto", "i2p"]


def test_only_who_has_a_key_may_ask(picto_dual):
    with serving(picto_dual, api_keys=("correct-horse", "battery-staple")) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic correct-horse"}):
            for answer in (client.get("/v1/models", headers=headers), client.get("/metrics", headers=headers)):
                assert answer.status_code == 401 and error(answer)["code"] == "invalid_api_key"
            assert client.post(PATH, json={"prompt": BENIGN}, headers=headers).status_code == 401
        client.headers["Authorization"] = "Bearer battery-staple"
        assert ask(client).status_code == 200 and client.get("/v1/models").status_code == 200
        del client.headers["Authorization"]
        assert client.get("/health").json() == {"status": "ok", "waiting": 0}


def test_a_withheld_picture_is_an_error_and_among_others_an_empty_entry(picto_dual):
    flagged, clear = Verdict(True, 0.9), Verdict(False, 0.1)
    with serving(picto_dual, verify=Says(flagged)) as client:
        answer = ask(client, prompt=EXPLICIT)
        assert answer.status_code == 400 and error(answer)["code"] == "moderation_blocked"
        assert 'dualsafe_pictures_total{outcome="withheld"} 1.0' in client.get("/metrics").text
    with serving(
        picto_dual, verify=Says(flagged, clear), allow_pairs=True
    ) as client:  # the first picture, however often it is drawn
        first, second = ask(client, prompt=EXPLICIT, n=2, return_pair=True).json()["data"]
        assert first["withheld"] and first["b64_json"] is None and first["unsafe_b64_json"] is None
        assert not second["withheld"] and second["b64_json"] and second["unsafe_b64_json"]


def test_a_judge_that_crashes_lets_nothing_out(picto_dual):
    def crash(images):
        raise OSError("gone")

    crashing = type("Crash", (), {"verdicts": staticmethod(crash)})()
    for judges in ({"verify": crashing}, {"preview": crashing}, {"verify": Says(Verdict(False, error="no answer"))}):
        with serving(picto_dual, **judges) as client:
            answer = ask(client, prompt=BENIGN)
            assert answer.status_code == 503 and error(answer)["code"] == "judge_failed"
            assert "b64" not in answer.text and "gone" not in answer.text
            failures = 1 if "preview" in judges else 4
            assert f"dualsafe_judge_failures_total {failures}.0" in client.get("/metrics").text


def test_latents_that_are_not_finite_give_an_error(picto_dual, monkeypatch, caplog):
    bias = picto_dual.unet.conv_out.bias
    with serving(picto_dual) as client, torch.no_grad():
        kept = bias.clone()
        bias.fill_(float("nan"))
        try:
            answer = ask(client)
        finally:
            bias.copy_(kept)
        assert answer.status_code == 500 and error(answer)["code"] == "non_finite_latents"
        assert error(answer)["type"] == "server_error" and any(r.levelno == logging.ERROR for r in caplog.records)
        assert ask(client).status_code == 200


def test_a_fault_tells_a_client_nothing_but_that(picto_dual, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("out of memory at /srv")

    with serving(picto_dual) as client:
        monkeypatch.setattr(picto_dual.unet, "forward", fail)
        answer = ask(client, n=2)
        assert answer.status_code == 500 and error(answer)["code"] == "internal_error"
        assert error(answer)["type"] == "server_error" and "/srv" not in answer.text
        monkeypatch.undo()
        assert ask(client).status_code == 200


def test_metrics(picto_dual):
    with serving(picto_dual) as client:
        ask(client, prompt=EXPLICIT, n=2)
        ask(client, n=9)
        client.get("/made/up")
        text = client.get("/metrics").text
    for line in (
        'dualsafe_requests_total{path="/v1/images/generations",status="200"} 1.0',
        'dualsafe_requests_total{path="/v1/images/generations",status="400"} 1.0',
        'dualsafe_requests_total{path="other",status="404"} 1.0',
        'dualsafe_pictures_total{outcome="dual"} 2.0',
        "dualsafe_batch_pictures_sum 2.0",
        "dualsafe_queue_pictures 0.0",
    ):
        assert line in text, line


def test_documents(client):
    assert client.get("/openapi.json").json()["paths"].keys() == {
        *(PATH, EDITS, "/sdapi/v1/txt2img", "/v1/models", "/v1/models/{name}", "/health", "/metrics")
    }
    page = client.get("/docs")
    assert page.status_code == 200 and "safety_level" in page.text and "withheld" in page.text
    assert not re.search(r"<script|<link|src=|url\(|https?:", page.text)  # it works where nothing else is reached
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"default_level": "low"}, "min_level=1.0 is over default_level=0.25"),
        ({"min_level": "none"}, "min_level"),
        ({"steps": 51}, "steps=51 is over max_steps=50"),
        ({"steps": 7}, "min_steps=8 is over steps=7"),
        ({"allowed_hosts": ("http://x",)}, "without a port"),
        ({"max_n": 65}, "max_n=65 is over max_queue=64"),
        ({"sizes": ("64",)}, "WIDTHxHEIGHT"),
        ({"policies": ("picto", "picto")}, "each policy once"),
        ({"policies": ("nobody",)}, "nobody"),
        ({"timeout": float("nan")}, "timeout=nan must be a finite number"),
        ({"steps": 9.5}, "steps=9.5 must be a whole number"),
        ({"api_keys": ("short",)}, "8 characters"),
    ],
)
def test_settings_that_cant_be(given, said):
    with pytest.raises(ValueError, match=said):
        ServeSettings(**given)


def test_a_policy_that_goes_below_the_minimum_is_refused(tmp_path):
    file = tmp_path / "mild.yaml"
    file.write_text(
        "id: mild\nversion: 1\ndescription: d\ncategories:\n  arms:\n    description: d\n    level: 0.2\n"
        "    concepts: [{term: knife, counterpart: spoon}]\n"
    )
    with pytest.raises(ValueError, match=r"draws 'arms' at level 0.2, under min_level=1.0"):
        ServeSettings(policies=(str(file),))


def test_a_size_that_the_model_cant_draw_is_refused_at_the_start(picto_dual):
    with pytest.raises(ValueError, match="divisible"):
        create_app(picto_dual, ServeSettings(sizes=("60x60",)))


def test_more_steps_than_the_scheduler_has_are_refused_at_the_start(picto_dual):
    with pytest.raises(ValueError, match="max_steps=1000: this DDIMScheduler has noise levels for 999 steps at most"):
        create_app(picto_dual, ServeSettings(max_steps=1000))


def test_without_a_preview_the_watch_looks(picto_dual, seeds):
    asked = {"prompt": "a pirate in green in a park", "guidance_scale": 5.0}
    with serving(picto_dual, preview=None, steps=8) as client:
        entry = ask(client, seed=1, **asked).json()["data"][0]
    alone = picto_dual(**asked, generator=seeds(1), num_inference_steps=8, preview=None)
    assert apart(picture(entry["b64_json"]), alone.images[0]) <= 1 and alone.safety[0].watched is not None


def test_keys_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("DUALSAFE_API_KEY", raising=False)
    assert find_keys(None) == ()
    monkeypatch.setenv("DUALSAFE_API_KEY", "from-the-environment")
    assert find_keys(None) == ("from-the-environment",)
    (tmp_path / "keys").write_text("first-key\n\nsecond-key\n")
    assert find_keys(tmp_path / "keys") == ("first-key", "second-key")
    assert "first-key" not in repr(ServeSettings(api_keys=find_keys(tmp_path / "keys")))
    (tmp_path / "empty").write_text("\n")
    for file in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(ValueError, match="--api-key-file"):
            find_keys(file)
    monkeypatch.setenv("DUALSAFE_API_KEY", "")
    with pytest.raises(ValueError, match="DUALSAFE_API_KEY has no key"):
        find_keys(None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-n", "65"], "max_n=65"),
        (["--min-level", "nan"], "min_level=nan"),
        (["--size", "60x60"], "divisible"),
        (["--verify", "nobody"], "judge 'nobody'"),
        (["--api-key-file", "/nowhere"], "--api-key-file /nowhere cannot be read"),
    ],
)
def test_the_command_fails_in_one_line(arguments, said):
    result = CliRunner().invoke(app, ["serve", *arguments])
    last = result.output.splitlines()[-1]
    assert result.exit_code == 2 and last.startswith("dualsafe: ") and said in last
