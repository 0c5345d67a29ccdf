"""A checkpoint that cannot be trusted or read is refused with its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from dualsafe import PICTO, AutoDualLatentPipeline, CheckpointError, DualLatentPipeline


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tiny.stable_diffusion().save_pretrained(tmp_path)
    return tmp_path


def test_a_missing_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere is not a folder"):
        DualLatentPipeline.from_pretrained(tmp_path / "nowhere")


def test_a_folder_that_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"model_index\.json"):
        DualLatentPipeline.from_pretrained(tmp_path)


def test_truncated_weights(checkpoint):
    file = checkpoint / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"diffusion_pytorch_model\.safetensors is truncated"):
        DualLatentPipeline.from_pretrained(checkpoint)


def test_a_missing_component(checkpoint):
    (checkpoint / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        DualLatentPipeline.from_pretrained(checkpoint)


def test_pickled_weights(checkpoint):
    weights = checkpoint / "vae" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(CheckpointError, match="pickled"):
        DualLatentPipeline.from_pretrained(checkpoint)
    with pytest.raises(CheckpointError, match="use_safetensors=False"):
        DualLatentPipeline.from_pretrained(checkpoint, use_safetensors=False)


def test_a_checkpoint_in_half_precision_is_loaded_in_float32():
    pipe = DualLatentPipeline.from_pretrained(PICTO)
    assert {pipe.unet.dtype, pipe.text_encoder.dtype, pipe.vae.dtype} == {torch.float32}
    half = DualLatentPipeline.from_pretrained(PICTO, dtype=torch.float16)
    assert {half.unet.dtype, half.text_encoder.dtype, half.vae.dtype} == {torch.float16}


@pytest.mark.parametrize("loader", [DualLatentPipeline, AutoDualLatentPipeline])
def test_the_bundled_checkpoint_goes_by_its_name(loader):
    pipe = loader.from_pretrained("dualsafe/picto")
    assert pipe.config["_name_or_path"] == PICTO and pipe._policy(None).id == "picto"
