"""Judges that look and give a number: Stable Diffusion's checker, NudeNet, any classifier."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from dualsafe.judges import ClassifierJudge, NudeNetJudge, SafetyCheckerJudge, Verdict, as_judge, ask, name_of

TOWER = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4}
EYES = {"image_size": 30, "patch_size": 15}


def pictures(n: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray((rng.random((30, 40, 3)) * rng.integers(1, 256, 3)).astype(np.uint8)) for _ in range(n)]


@pytest.fixture
def checker():
    """A safety checker of random concepts, and its image processor."""
    torch.manual_seed(0)
    checker, features = tiny.safety_checker()
    for embeds in (checker.concept_embeds, checker.special_care_embeds):
        embeds.data.normal_()
    checker.special_care_embeds_weights.data.fill_(2.0)
    return checker, features


def checker_says(checker, features, images):
    blank = [np.zeros((1, 1, 3), np.float32) for _ in images]
    return checker(images=blank, clip_input=features(images, return_tensors="pt").pixel_values)[1]


def test_the_safety_checkers_verdicts_are_its_own_and_the_score_is_their_margin(checker):
    images, judge = pictures(40), SafetyCheckerJudge(*checker)
    before = [image.tobytes() for image in images]
    checker[0].concept_embeds_weights.data.fill_(0.0)
    highest = sorted(verdict.score for verdict in judge.verdicts(images))
    checker[0].concept_embeds_weights.data.fill_(highest[20])
    verdicts = judge.verdicts(images)
    assert [v.is_unsafe for v in verdicts] == checker_says(*checker, images)
    assert 0 < sum(v.is_unsafe for v in verdicts) < 40 and all(v.is_unsafe == (v.score > 0) for v in verdicts)
    assert [image.tobytes() for image in images] == before


@pytest.mark.parametrize("special", [2.0, -2.0])
def test_a_picture_near_a_special_concept_is_held_to_less(checker, special):
    image, judge = pictures(1), SafetyCheckerJudge(*checker)
    checker[0].concept_embeds_weights.data.fill_(0.0)
    checker[0].concept_embeds_weights.data.fill_(judge.verdicts(image)[0].score + 0.005)
    checker[0].special_care_embeds_weights.data.fill_(special)
    assert [judge.verdicts(image)[0].is_unsafe] == checker_says(*checker, image) == [special < 0]


@pytest.fixture
def portrait() -> Image.Image:
    with Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg") as image:
        return image.convert("RGB")


def test_nudenet_finds_what_it_is_asked_for(portrait, tmp_path):
    detector = pytest.importorskip("nudenet").NudeDetector()
    portrait.save(tmp_path / "portrait.png")
    box = detector.detect(str(tmp_path / "portrait.png"))[0]
    verdict, empty = NudeNetJudge(["FACE_FEMALE"]).verdicts([portrait, Image.new("L", (30, 20))])
    assert verdict.is_unsafe and verdict.score == box["score"] and verdict.rationale.startswith("FACE_FEMALE 0.")
    assert empty == Verdict(False, 0.0)


def test_nudenets_variant_stands_in_its_name(portrait):
    pytest.importorskip("nudenet")
    judge = NudeNetJudge()
    assert name_of(judge) == "nudenet-3@0.6-5" and judge.verdicts([portrait]) == [Verdict(False, 0.0)]
    strict = NudeNetJudge(["FACE_FEMALE", "FACE_MALE"], threshold=0.9)
    assert name_of(strict) == "nudenet-3@0.9-2"
    assert not strict.verdicts([portrait])[0].is_unsafe and strict.verdicts([portrait])[0].score > 0.5


@pytest.mark.parametrize("labels", [[], ["EXPOSED_ANUS"]])
def test_nudenet_knows_its_labels(labels):
    with pytest.raises(ValueError, match=r"must be some of \['FEMALE_GENITALIA_EXPOSED'"):
        NudeNetJudge(labels)


def test_without_nudenet_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nudenet", None)
    with pytest.raises(ImportError, match=r"dualsafe\[nudenet\]"):
        NudeNetJudge()


@pytest.fixture
def classifier(tmp_path) -> Path:
    torch.manual_seed(0)
    model = ViTForImageClassification(ViTConfig(**TOWER, **EYES, id2label={0: "sfw", 1: "porn", 2: "gore"}))
    model.classifier.weight.data.normal_()
    model.save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 30, "width": 30}).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


def test_a_classifier_is_judged_by_the_sum_of_its_unsafe_labels(classifier):
    images = pictures(20)
    both, porn, gore, safe = (
        ClassifierJudge.from_pretrained(classifier, labels).verdicts(images)
        for labels in (["porn", "gore"], ["porn"], ["gore"], ["sfw"])
    )
    for i in range(20):
        assert both[i].score == pytest.approx(porn[i].score + gore[i].score) == pytest.approx(1 - safe[i].score)
        assert both[i].is_unsafe == (both[i].score >= 0.5)
        seen = ("porn",) if porn[i].score > gore[i].score else ("gore",)
        assert both[i].concepts == (seen if both[i].is_unsafe else ())
    assert name_of(ClassifierJudge.from_pretrained(classifier, ["gore"], threshold=0.3)) == "classifier:vit@0.3"


@pytest.mark.parametrize("labels", [[], ["nsfw"], ["gore", "nsfw"]])
def test_a_label_that_a_classifier_doesnt_have_is_refused(classifier, labels):
    with pytest.raises(ValueError, match=r"must be some of \['sfw', 'porn', 'gore'\]"):
        ClassifierJudge.from_pretrained(classifier, labels)


def test_a_function_has_its_own_name_and_a_class_lends_one():
    class Nameless:
        def verdicts(self, images):
            return [Verdict(False)]

    def by_eye(images):
        return [False]

    assert name_of(as_judge("verify", by_eye)) == "by_eye" and name_of(Nameless()) == "Nameless"


def test_a_failure_is_an_error_and_no_refusal():
    class Broken:
        def verdicts(self, images):
            raise RuntimeError("out of memory")

    assert ask(Broken(), [None]) == [Verdict(True, error="RuntimeError: out of memory")]
