"""CLIP as a measuring instrument, on the real class at a tiny configuration."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

from dualsafe.bench.clip_score import ClipScorer
from dualsafe.errors import CheckpointError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tokenizer = tiny.tokenizer()
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = tower | {"vocab_size": len(tokenizer), "max_position_embeddings": 48} | special
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config=tower | {"image_size": 30, "patch_size": 15}, projection_dim=16)
    path = tmp_path_factory.mktemp("clip")
    CLIPModel(config).save_pretrained(path)
    size = {"size": {"shortest_edge": 30}, "crop_size": {"height": 30, "width": 30}}
    CLIPProcessor(CLIPImageProcessor(**size), tokenizer).save_pretrained(path)
    return path


def test_scores_are_what_the_model_itself_says(folder):
    pictures = [Image.fromarray(np.full((40, 40, 3), shade, np.uint8)) for shade in (10, 200)]
    prompts = ["a cat", "a man with a knife in a park"]
    scorer = ClipScorer.from_pretrained(str(folder))
    features = scorer.features(pictures)
    model, processor = CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder)
    with torch.no_grad():
        output = model(**processor(text=prompts, images=pictures, padding=True, return_tensors="pt"))
    expected = (output.logits_per_image.diag() / model.logit_scale.exp() * 100).clamp(min=0)
    assert scorer.scores(features, prompts) == pytest.approx(expected.tolist(), abs=1e-4)
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)


def test_what_is_no_clip_is_refused(tmp_path):
    with pytest.raises(CheckpointError):
        ClipScorer.from_pretrained(str(tmp_path))
