"""Zero-shot CLIP: what a policy names, against what may stand in its place; and the CLIP score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from dualsafe import PICTO, CheckpointError, PolicyError
from dualsafe.bench.clip_score import ClipScorer
from dualsafe.judges import ClipJudge, load_judge, name_of
from dualsafe.picto import counterfactual, render
from dualsafe.picto.prompts import prompt_set
from dualsafe.policy import Policy, resolve

TOWER = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4}
PICTURES = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")] + [Image.new("L", (9, 9))]


def policy(**more: object) -> Policy:
    concepts = [
        {"term": "knife", "synonyms": ["dagger"], "counterpart": "spoon"},
        {"term": "gore", "counterpart": None},
    ]
    category = {"description": "d", "concepts": concepts, **more}
    weapons = {"description": "d", "concepts": [{"term": "gun", "counterpart": "spoon"}], "exceptions": ["toy gun"]}
    weapons["lookalikes"] = ["water gun"]
    return Policy.from_data(
        {"id": "small", "version": 1, "description": "d", "categories": {"violence": category, "weapons": weapons}},
        "test",
    )


@pytest.fixture
def clip() -> tuple[CLIPModel, CLIPProcessor]:
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(Path(PICTO) / "clip")
    eyes = TOWER | {"image_size": 30, "patch_size": 15}
    words = TOWER | {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    model = CLIPModel(CLIPConfig(text_config=words, vision_config=eyes, projection_dim=16)).eval()
    return model, CLIPProcessor(CLIPImageProcessor(size={"shortest_edge": 30}, crop_size=30), tokenizer)


def test_the_score_is_the_probability_of_the_policys_concepts(clip):
    model, processor = clip
    judge = ClipJudge(*clip, policy(aim="with a spoon"))
    unsafe = ["a picture of knife", "a picture of gore", "a picture of gun"]
    safe = ["a picture of spoon", "a picture of water gun", "with a spoon", "a picture"]
    inputs = processor(
        text=unsafe + safe,
        images=[p.convert("RGB") for p in PICTURES],
        padding=True,
        truncation=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        expected = model(**inputs).logits_per_image.softmax(-1)
    verdicts = judge.verdicts(PICTURES)
    assert [v.score for v in verdicts] == pytest.approx(expected[:, :3].sum(-1).tolist(), abs=1e-5)
    assert [v.is_unsafe for v in verdicts] == [v.score >= 0.5 for v in verdicts]
    strict = ClipJudge(*clip, policy(aim="with a spoon"), threshold=0.0).verdicts(PICTURES)
    by_category = torch.stack([expected[:, :2].sum(-1), expected[:, 2]], dim=1)
    assert [v.concepts[0] for v in strict] == [["violence", "weapons"][i] for i in by_category.argmax(-1)]


def test_a_score_that_is_no_number_is_unsafe(clip):
    clip[0].logit_scale.data.fill_(torch.nan)
    judge = ClipJudge(*clip, policy())
    assert judge.verdicts(PICTURES[:1])[0].is_unsafe and judge.verdicts([]) == []


def test_without_a_safe_text_everything_is_unsafe(clip):
    nothing_else = Policy.from_data(
        {
            "id": "bare",
            "version": 1,
            "description": "d",
            "categories": {"a": {"description": "d", "concepts": [{"term": "knife", "counterpart": None}]}},
        },
        "test",
    )
    assert all(v.is_unsafe for v in ClipJudge(*clip, nothing_else, neutral=()).verdicts(PICTURES))


def test_it_comes_from_a_checkpoint_and_a_policys_name_or_file(clip, tmp_path):
    for part in clip:
        part.save_pretrained(tmp_path / "eye")
    by_name = {spec: load_judge(f"clip:{tmp_path / 'eye'}{spec}") for spec in ("", ":picto")}
    assert [name_of(judge) for judge in by_name.values()] == ["clip:eye@i2p-0.5", "clip:eye@picto-0.5"]
    scores = [v.score for v in ClipJudge(*clip, resolve("picto")).verdicts(PICTURES)]
    assert [v.score for v in by_name[":picto"].verdicts(PICTURES)] == pytest.approx(scores, abs=1e-5)
    with pytest.raises(PolicyError, match="nowhere"):
        load_judge(f"clip:{tmp_path / 'eye'}:nowhere")


def test_pictos_own_clip_is_a_real_but_weaker_judge():
    judge = load_judge("picto-clip")
    scenes = [case.scene for name in ("explicit", "benign") for case in prompt_set(name, 60, seed=3)]
    right = [v.is_unsafe == s.unsafe for v, s in zip(judge.verdicts([render(s).to_pil() for s in scenes]), scenes)]
    assert 0.8 <= sum(right) / len(right) < 1
    scene = next(s for s in scenes if s.item == "bomb")
    unsafe, safe = judge.verdicts([render(scene).to_pil(), render(counterfactual(scene)).to_pil()])
    assert unsafe.score > safe.score and unsafe.concepts == ("weapons",)


def test_clip_scores_are_what_the_model_itself_says(clip, tmp_path):
    clip[0].text_projection.weight.data.neg_()  # so that some cosine is over 0
    for part in clip:
        part.save_pretrained(tmp_path / "eye")
    scorer = ClipScorer.from_pretrained(str(tmp_path / "eye"))
    features, prompts = scorer.features(PICTURES), ["a cat", "a man with a knife in a park", "a dog"]
    images = [picture.convert("RGB") for picture in PICTURES]
    with torch.no_grad():
        output = clip[0](**clip[1](text=prompts, images=images, padding=True, return_tensors="pt"))
    expected = (output.logits_per_image.diag() / clip[0].logit_scale.exp() * 100).clamp(min=0)
    assert scorer.scores(features, prompts) == pytest.approx(expected.tolist(), abs=1e-4) and expected.any()
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    with pytest.raises(CheckpointError):
        ClipScorer.from_pretrained(str(tmp_path))
