"""Judges: picto's three read renders that they have never seen; a checkpoint brings its own."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import tiny
from PIL import Image

from dualsafe import PICTO, DualLatentPipeline
from dualsafe.judges import judge_of
from dualsafe.judges.picto import PictoJudge
from dualsafe.picto import Scene, counterfactual, random_scene, render


@pytest.fixture(scope="module", params=["judge", "guard", "examiner"])
def judge(request: pytest.FixtureRequest) -> PictoJudge:
    return PictoJudge.from_pretrained(Path(PICTO) / request.param).eval()


def test_it_reads_attributes_and_tells_twins_apart(judge):
    rng = random.Random("unseen")
    scenes = [random_scene(rng) for _ in range(300)]
    seen = judge.judge([render(scene).to_pil() for scene in scenes])
    for head in ("setting", "subject", "colour", "item"):
        assert sum(s.labels[head] == getattr(c, head) for s, c in zip(seen, scenes)) / 300 >= 0.97
    unsafe = [scene for scene in scenes if scene.unsafe]
    twins = judge.judge([render(counterfactual(scene)).to_pil() for scene in unsafe])
    assert sum(t.is_unsafe for t in twins) / len(twins) <= 0.02


def test_other_sizes_are_resized(judge):
    picture = render(random_scene(random.Random(1))).to_pil()
    assert judge.judge([picture.resize((256, 256), 0)])[0].labels == judge.judge([picture])[0].labels
    assert judge.judge([]) == []


def test_verdicts_name_the_unsafe_item_in_the_policys_words(judge):
    pictures = [render(Scene("park", "man", "blue", item)).to_pil() for item in ("bomb", "balloon")]
    unsafe, safe = judge.verdicts(pictures)
    assert unsafe.is_unsafe and unsafe.concepts == ("bomb",) and unsafe.score > 0.5
    assert not safe.is_unsafe and safe.concepts == () and safe.score < 0.5


def test_a_checkpoint_brings_its_judge():
    assert isinstance(judge_of(DualLatentPipeline.from_pretrained(PICTO)), PictoJudge)
    stock = tiny.stable_diffusion()
    with pytest.raises(ValueError, match="brings no judge"):
        judge_of(stock)
    stock.safety_checker, stock.feature_extractor = tiny.safety_checker()
    verdicts = judge_of(stock).verdicts([Image.new("RGB", (16, 16), c) for c in ("red", "blue")])
    assert [v.is_unsafe for v in verdicts] == [True, True] and verdicts[0].concepts == ("sexual",)
