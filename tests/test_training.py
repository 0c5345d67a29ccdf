"""Each training stage takes steps, resumes, and writes what the next stage reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusion3Pipeline

from dualsafe import PICTO
from dualsafe.judges.picto import PictoJudge
from dualsafe.picto.train import batches, clip, judge, transformer, unet, vae
from dualsafe.picto.train.data import Dataset, dataset, scenes
from dualsafe.picto.train.loop import Run, cycle

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dataset(tmp_path_factory.mktemp("scenes"), seed=5, count=500)


def a_run(folder: Path, seconds: float = 0.5) -> Run:
    return Run(folder, CPU, minutes=seconds / 60, autocast=None)


def steps(folder: Path, name: str) -> int:
    return torch.load(folder / f"{name}.ckpt.pt", weights_only=True)["step"]


def test_the_dataset_is_the_same_again_and_has_its_masks(data, tmp_path):
    assert data.images.shape == (500, 3, 64, 64) and data.masks.shape == (500, 64, 64)
    assert data.scenes == scenes(5, 500) == scenes(5, 1000)[:500]
    assert all(bool(m.any()) == (s.item != "none") for m, s in zip(data.masks, data.scenes))
    with pytest.raises(ValueError, match="multiple of 500"):
        dataset(tmp_path, seed=5, count=3)


def test_the_rate_rises_then_falls():
    assert cycle(0.0) < cycle(0.04) == pytest.approx(1.0) and cycle(1.0) == pytest.approx(0.02)


def test_vae_and_its_resumption(data, tmp_path):
    vae.fit(a_run(tmp_path), data)
    first = steps(tmp_path, "vae")
    model = vae.fit(a_run(tmp_path), data)
    assert 0 < first < steps(tmp_path, "vae")
    assert model.config.scaling_factor > 0
    assert vae.encode(model, data.images[:3], CPU).shape == (3, 4, 16, 16)
    assert set(vae.measure(model, Dataset(data.images[:20], data.masks[:20], data.scenes[:20]), CPU)) == {
        "mse",
        "item_mse",
    }


def test_clip_and_the_unet_that_reads_it(data, tmp_path):
    tokenizer = clip.build_tokenizer(["a man with a knife", "a cat in a park"] * 5, tmp_path / "tokenizer", merges=20)
    model = clip.fit(a_run(tmp_path), data, tokenizer)
    ids = clip.tokens(tokenizer, ["a man with a knife"], CPU)
    assert torch.allclose(clip.text_encoder(model)(ids)[0], model.text_model(ids)[0])
    assert 0 <= clip.measure(model, data, tokenizer, CPU)["retrieval_of_128"] <= 1
    latents = torch.randn(500, 4, 16, 16)
    trained = unet.fit(a_run(tmp_path), data, latents, tokenizer, clip.text_encoder(model))
    assert steps(tmp_path, "unet") > 0
    assert all(torch.isfinite(p).all() for p in trained.parameters())


def test_the_transformer_is_trained_on_what_the_pipeline_tells_it(data, tmp_path):
    tokenizer = clip.build_tokenizer(["a man with a knife", "a cat in a park"] * 5, tmp_path / "tokenizer", merges=20)
    encoder, texts = transformer.text_encoder(clip.build(tokenizer)), ["a man with a knife", ""]
    model = transformer.build().eval()
    words, parts = (encoder, tokenizer), (transformer.build_scheduler(), vae.build())
    pipe = StableDiffusion3Pipeline(model, *parts, *words, *words, None, None)
    expected, _, pooled, _ = pipe.encode_prompt(texts, texts, texts, max_sequence_length=9)
    told = transformer.encode(encoder, tokenizer, texts, CPU)
    assert torch.allclose(expected[:, :78], told[0], atol=1e-6) and torch.allclose(pooled, told[1], atol=1e-6)
    noisy, t = torch.randn(2, 4, 16, 16), torch.tensor([500.0, 300.0])
    with torch.no_grad():
        many = model(noisy, expected, pooled, t).sample
        with transformer.ManyEmptyTokens(9):
            assert torch.allclose(model(noisy, *told, t).sample, many, atol=1e-5)
        assert not torch.allclose(model(noisy, *told, t).sample, many, atol=1e-3)


def test_the_transformers_steps(data, tmp_path):
    tokenizer = clip.build_tokenizer(["a man with a knife", "a cat in a park"] * 5, tmp_path / "tokenizer", merges=20)
    encoder, latents = transformer.text_encoder(clip.build(tokenizer)), torch.randn(500, 4, 16, 16)
    trained = transformer.fit(a_run(tmp_path), data, latents, tokenizer, encoder)
    assert steps(tmp_path, "transformer") > 0
    assert all(torch.isfinite(p).all() for p in trained.parameters())


def test_loss_weights_mark_the_hand_of_every_scene(data):
    weights = batches.slot_weights(data.scenes, data.masks)
    assert weights.shape == (500, 1, 16, 16)
    assert (weights.flatten(1).max(1).values == batches.SLOT_WEIGHT).all()
    assert weights.mean() < 2


def test_the_judge_learns_and_saves(data, tmp_path):
    model = judge.fit(a_run(tmp_path), data, None)
    model.save_pretrained(tmp_path / "judge")
    again = PictoJudge.from_pretrained(tmp_path / "judge")
    x = torch.randn(2, 3, 64, 64)
    assert torch.allclose(again.eval()(x)["item"], model(x)["item"])


def test_the_bundled_weights_are_complete_small_and_measured():
    folder = Path(PICTO)
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 30e6
    assert {p.suffix for p in files} <= {".safetensors", ".json", ".md"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"vae", "clip", "judge", "unet", "stack"} <= set(metrics)
    assert min(metrics["judge"][h] for h in ("setting", "subject", "colour")) >= 0.995
    assert metrics["judge"]["item"] >= 0.99
