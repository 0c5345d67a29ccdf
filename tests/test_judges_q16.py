"""Q16: a judge of two learned prompts, and the script that takes them out of their pickle."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPVisionModelWithProjection

from dualsafe.judges import Q16Judge, load_judge, name_of

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import convert_q16

TOWER = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4}
EYES = {"image_size": 30, "patch_size": 15, "projection_dim": 16}


def pictures(n: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray((rng.random((30, 40, 3)) * rng.integers(1, 256, 3)).astype(np.uint8)) for _ in range(n)]


@pytest.fixture(params=[CLIPModel, CLIPVisionModelWithProjection])
def clip(request):
    torch.manual_seed(0)
    config = CLIPConfig(text_config=TOWER, vision_config=TOWER | EYES, projection_dim=16)
    return request.param(config if request.param is CLIPModel else config.vision_config).eval(), CLIPImageProcessor(
        size={"shortest_edge": 30}, crop_size=30
    )


def test_q16_is_the_softmax_of_a_hundred_cosines(clip):
    model, processor = clip
    images = [*pictures(20), Image.new("L", (9, 9))]
    prompts = torch.randn(2, 16)
    verdicts = Q16Judge(model, processor, prompts).verdicts(images)
    pixels = processor([image.convert("RGB") for image in images], return_tensors="pt").pixel_values
    with torch.no_grad():
        embeds = model.visual_projection(model.vision_model(pixels).pooler_output)
    cosines = torch.nn.functional.cosine_similarity(embeds[:, None], prompts[None], dim=-1)
    expected = (100 * cosines).softmax(-1)[:, 1]
    assert torch.allclose(torch.tensor([v.score for v in verdicts]), expected, atol=1e-4)
    assert [v.is_unsafe for v in verdicts] == (expected >= 0.5).tolist()
    assert Q16Judge(model, processor, prompts.flip(0)).verdicts(images)[0].score == pytest.approx(1 - verdicts[0].score)


def test_a_score_that_is_no_number_is_unsafe(clip):
    judge = Q16Judge(*clip, torch.full((2, 16), torch.nan))
    assert judge.verdicts(pictures(1))[0].is_unsafe and judge.verdicts([]) == []


def test_q16_comes_from_a_checkpoint_and_a_file_of_two_prompts(clip, tmp_path):
    for part in clip:
        part.save_pretrained(tmp_path / "clip")
    file = tmp_path / "prompts.safetensors"
    prompts = torch.randn(2, 16)
    save_file({"prompts": prompts}, file)
    judge = load_judge(f"q16:{tmp_path / 'clip'}:{file}")
    assert name_of(judge) == "q16:clip@0.5"
    scores = [[v.score for v in judge.verdicts(pictures(3))] for judge in (judge, Q16Judge(*clip, prompts))]
    assert scores[0] == pytest.approx(scores[1])
    save_file({"prompts": torch.randn(2, 8)}, file)
    with pytest.raises(ValueError, match=r"\(2, 8\); this CLIP model takes \(2, 16\)"):
        Q16Judge.from_pretrained(tmp_path / "clip", file)
    save_file({"weight": torch.randn(2, 16)}, file)
    with pytest.raises(ValueError, match=r"must hold a tensor 'prompts'; it has \['weight'\]"):
        Q16Judge.from_pretrained(tmp_path / "clip", file)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("as_pickled", [np.float16, np.float32, torch.tensor, list])
def test_q16s_pickle_is_converted(as_pickled, protocol, tmp_path):
    rows = [[0.5, -1.0, 2.0], [1.5, 0.0, -3.0]]
    source, target = tmp_path / "prompts.p", tmp_path / "prompts.safetensors"
    value = np.array(rows, as_pickled) if isinstance(as_pickled, type) and as_pickled is not list else as_pickled(rows)
    source.write_bytes(pickle.dumps(value, protocol))
    convert_q16.convert(source, target)
    assert load_file(target)["prompts"].tolist() == rows


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle was obeyed')",)


@pytest.mark.parametrize("value", [Trap(), [Trap()], np.array([Trap()], object), {1, Path()}])
def test_a_pickle_of_anything_else_is_refused(value, tmp_path):
    (tmp_path / "prompts.p").write_bytes(pickle.dumps(value))
    with pytest.raises(pickle.UnpicklingError, match="no part of an array"):
        convert_q16.convert(tmp_path / "prompts.p", tmp_path / "prompts.safetensors")


@pytest.mark.parametrize("value", [np.zeros((3, 4)), np.full((2, 4), np.nan)])
def test_prompts_are_two_rows_of_numbers(value, tmp_path):
    (tmp_path / "prompts.p").write_bytes(pickle.dumps(value))
    with pytest.raises(ValueError, match="two rows of finite numbers"):
        convert_q16.convert(tmp_path / "prompts.p", tmp_path / "prompts.safetensors")
