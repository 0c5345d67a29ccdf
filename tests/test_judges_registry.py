"""Judges by name."""

from __future__ import annotations

import subprocess
import sys

import pytest
import tiny
from PIL import Image
from transformers import ViTConfig, ViTModel

from dualsafe import CheckpointError
from dualsafe.judges import PictoJudge, SafetyCheckerJudge, load_judge, name_of
from dualsafe.judges.endpoint import EndpointJudge
from dualsafe.judges.registry import JUDGES


def test_the_bundled_judges_have_names_and_are_different():
    judges = [load_judge(name) for name in ("picto", "picto-guard", "picto-examiner")]
    assert [name_of(judge) for judge in judges] == ["picto-judge", "picto-guard", "picto-examiner"]
    assert all(isinstance(judge, PictoJudge) and not judge.training for judge in judges)
    assert len({tuple(judge.config["channels"]) for judge in judges}) == 3
    assert name_of(load_judge("picto-clip")) == "clip:clip@picto-0.5"


def test_a_checkpoints_safety_checker(tmp_path):
    checker, features = tiny.safety_checker()
    checker.save_pretrained(tmp_path / "safety_checker")
    features.save_pretrained(tmp_path / "feature_extractor")
    judge = load_judge(f"safety-checker:{tmp_path}")
    assert isinstance(judge, SafetyCheckerJudge) and name_of(judge) == "safety-checker"
    assert judge.verdicts([Image.new("RGB", (16, 16))])[0].concepts == ("sexual",)


@pytest.mark.parametrize(
    ("rest", "base_url", "model"),
    [
        ("http://127.0.0.1:8000/v1:org/eye", "http://127.0.0.1:8000/v1", "org/eye"),
        ("https://api.example.com/v1:eye:7b", "https://api.example.com/v1", "eye:7b"),
        ("http://localhost:8000:eye", "http://localhost:8000", "eye"),
    ],
)
def test_an_endpoints_address_and_model_may_hold_colons(rest, base_url, model):
    pytest.importorskip("openai")
    judge = load_judge(f"endpoint:{rest}")
    assert isinstance(judge, EndpointJudge)
    served = judge._endpoint
    assert (str(served._client.base_url).rstrip("/"), served._model) == (base_url, model)


UNKNOWN = ["", "q17", "picto:judge", "nudenet:x", "q16:clip", "q16::p", "classifier:vit", "classifier:vit:"]
UNKNOWN += ["safety-checker:", "llavaguard", "shieldgemma:", "endpoint:eye", "endpoint:http://localhost", "Picto"]
UNKNOWN += ["picto-examiner:x", "picto-clip:i2p", "clip", "clip::i2p"]


@pytest.mark.parametrize("spec", UNKNOWN)
def test_an_unknown_judge_is_told_the_forms(spec):
    with pytest.raises(ValueError) as raised:
        load_judge(spec)
    assert str(raised.value).startswith(f"judge {spec!r} must be one of: picto, ")
    assert all(form in str(raised.value) for form in JUDGES.forms)


def test_a_checkpoint_that_isnt_there_or_lacks_weights_is_no_judge(tmp_path):
    tower = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4}
    ViTModel(ViTConfig(**tower, image_size=30, patch_size=15)).save_pretrained(tmp_path / "headless")
    with pytest.raises(CheckpointError, match=r"lacks classifier\.bias, classifier\.weight"):
        load_judge(f"classifier:{tmp_path / 'headless'}:LABEL_1")
    with pytest.raises(CheckpointError, match="nowhere cannot be loaded"):
        load_judge(f"llavaguard:{tmp_path / 'nowhere'}")


def test_importing_judges_imports_no_library_of_models():
    heavy = "{'torch', 'transformers', 'diffusers', 'nudenet', 'openai'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"import sys, dualsafe.judges; assert not {heavy}, {heavy}"], check=True)
