"""A load gives the dual pipeline that was asked for, on the modules as they are, or says what to do instead."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from diffusers import DiffusionPipeline, GGUFQuantizationConfig, StableDiffusionPipeline, UNet2DConditionModel
from families import FAMILIES, SAFE, UNSAFE, dual_of
from original_layout import save_in_one_file
from safetensors.torch import load_file, save_file

from dualsafe import (
    AutoDualLatentPipeline,
    CheckpointError,
    DualLatentFluxPipeline,
    DualLatentImg2ImgPipeline,
    DualLatentPipeline,
    DualLatentXLPipeline,
)
from dualsafe.cli.load import load_pipeline

UPSCALER = ("0.0.weight", "10.0.skip_connection.bias")
"""By these tensors of a UNet diffusers knows an upscaler's."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion 1.x checkpoint, saved by diffusers."""
    folder = tmp_path_factory.mktemp("sd1")
    tiny.stable_diffusion().save_pretrained(folder)
    return folder


# What from_pretrained gives


@pytest.mark.parametrize("loader", [DualLatentPipeline, AutoDualLatentPipeline])
def test_a_pipeline_of_ones_own_is_refused_before_its_code_is_run(saved, tmp_path, loader):
    ran = tmp_path / "ran"
    code = tmp_path / "mine.py"
    code.write_text(
        f"from diffusers import StableDiffusionPipeline\nopen({str(ran)!r}, 'w').close()\n"
        "class Mine(StableDiffusionPipeline):\n    pass\n"
    )
    with pytest.raises(CheckpointError, match="custom_pipeline="):
        loader.from_pretrained(saved, custom_pipeline=str(code), trust_remote_code=True)
    with pytest.raises(ValueError, match="custom_pipeline="):
        DualLatentPipeline.from_pipe(tiny.stable_diffusion(), custom_pipeline=str(code), trust_remote_code=True)
    assert not ran.exists()


def test_a_checkpoint_that_names_a_pipeline_of_its_own_is_refused(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "own")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": ["mine", "Mine"]}))
    (folder / "mine.py").write_text(
        "from diffusers import StableDiffusionPipeline\nclass Mine(StableDiffusionPipeline):\n    pass\n"
    )
    with pytest.raises(CheckpointError, match="is not dual"):
        DualLatentPipeline.from_pretrained(folder, trust_remote_code=True)


@pytest.mark.parametrize(
    ("loader", "made", "said"),
    [
        (DualLatentPipeline, "xl", "use DualLatentXLPipeline or"),
        (DualLatentImg2ImgPipeline, "xl", "DualLatentXLImg2ImgPipeline"),
        (DualLatentXLPipeline, "sd1", "use DualLatentPipeline or"),
        (DualLatentFluxPipeline, "sd3", "use DualLatentSD3Pipeline"),
    ],
)
def test_another_familys_checkpoint_names_the_class_to_use(tmp_path, loader, made, said):
    FAMILIES[made].make().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=said):
        loader.from_pretrained(tmp_path)


def test_a_family_that_is_left_out_says_why(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    with pytest.raises(CheckpointError, match=r"is a WanPipeline, which is not one of .*: its latents are of a video"):
        AutoDualLatentPipeline.from_pretrained(tmp_path)


def test_components_that_have_no_place_or_are_missing_are_named(saved, tmp_path):
    index = json.loads((saved / "model_index.json").read_text()) | {"_class_name": "SomethingElse"}
    more = shutil.copytree(saved, tmp_path / "more")
    (more / "model_index.json").write_text(json.dumps(index | {"controlnet": ["diffusers", "ControlNetModel"]}))
    with pytest.raises(CheckpointError, match="with a controlnet"):
        DualLatentPipeline.from_pretrained(more)
    less = shutil.copytree(saved, tmp_path / "less")
    (less / "model_index.json").write_text(json.dumps({k: v for k, v in index.items() if k != "unet"}))
    with pytest.raises(CheckpointError, match="without the unet"):
        DualLatentPipeline.from_pretrained(less)
    unet = tiny.unet()
    assert DualLatentPipeline.from_pretrained(less, unet=unet).unet is unet


@pytest.mark.parametrize("name", ["sd1", "xl-img2img", "sd3", "flux"])
def test_what_a_dual_pipeline_saves_diffusers_own_loader_opens(name, tmp_path):
    stock = FAMILIES[name].make()
    dual = dual_of(stock)
    dual.save_pretrained(tmp_path)
    assert type(DiffusionPipeline.from_pretrained(tmp_path)) is type(stock)
    assert type(AutoDualLatentPipeline.from_pretrained(tmp_path)) is type(dual)


# From where


def as_hub_repository(checkpoint: Path, cache: Path, revision: str) -> None:
    """Puts a checkpoint into a hub cache, as if `some/model` had been downloaded at `revision`."""
    folder = cache / "models--some--model"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / revision).write_text("0" * 40)
    shutil.copytree(checkpoint, folder / "snapshots" / ("0" * 40))


@pytest.mark.parametrize("loader", [DualLatentPipeline, AutoDualLatentPipeline])
def test_where_and_how_to_fetch_reaches_the_hub(saved, tmp_path, loader):
    as_hub_repository(saved, tmp_path, "fp32")
    fetched = {"cache_dir": tmp_path, "local_files_only": True, "token": False}
    pipe = loader.from_pretrained("some/model", revision="fp32", **fetched)
    assert type(pipe) is DualLatentPipeline
    with pytest.raises(CheckpointError, match="some/model cannot be loaded"):
        loader.from_pretrained("some/model", **fetched)


@pytest.mark.parametrize("loader", [DualLatentPipeline, AutoDualLatentPipeline])
def test_a_variant_is_loaded(saved, tmp_path, loader):
    tiny.stable_diffusion(seed=1).save_pretrained(tmp_path, variant="other")
    for name in ("model_index.json",):
        assert (tmp_path / name).is_file()
    pipe = loader.from_pretrained(tmp_path, variant="other")
    assert torch.equal(pipe.unet.conv_in.weight, tiny.stable_diffusion(seed=1).unet.conv_in.weight)


@pytest.mark.parametrize("loader", [DualLatentPipeline, AutoDualLatentPipeline])
def test_a_single_file_is_for_from_single_file(tmp_path, loader):
    for file in ("model.safetensors", tmp_path / "model.safetensors", "some/model.safetensors"):
        with pytest.raises(CheckpointError, match="from_single_file"):
            loader.from_pretrained(file)
    with pytest.raises(CheckpointError, match="pickled"):
        loader.from_pretrained("model.ckpt")


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin", "https://hub/some/model.ckpt?download=true"])
def test_a_single_pickled_file_is_refused_unopened(tmp_path, name, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was opened"))
    path = name if "://" in name else tmp_path / name
    if "://" not in name:
        path.write_bytes(b"\x80\x04N.")
    with pytest.raises(CheckpointError, match="pickled"):
        DualLatentPipeline.from_single_file(path)


def test_a_single_file_that_is_missing_or_truncated_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="is not a file"):
        DualLatentPipeline.from_single_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(CheckpointError, match="truncated"):
        DualLatentPipeline.from_single_file(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="which alone is read"):
        DualLatentPipeline.from_single_file(tmp_path / "model.gguf")


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint `saved` in one file, in the layout in which Stable Diffusion was published."""
    return save_in_one_file(tiny.stable_diffusion(), tmp_path_factory.mktemp("file") / "model.safetensors")


@pytest.mark.parametrize("loader", [DualLatentPipeline, AutoDualLatentPipeline])
def test_a_checkpoint_in_one_file(saved, one_file, loader):
    pipe, whole = loader.from_single_file(one_file, config=str(saved)), tiny.stable_diffusion()
    assert type(pipe) is DualLatentPipeline
    for name in ("unet", "vae", "text_encoder"):
        loaded, expected = getattr(pipe, name).state_dict(), getattr(whole, name).state_dict()
        assert loaded.keys() == expected.keys() and all(torch.equal(loaded[key], expected[key]) for key in expected)
    assert loader.from_single_file(one_file, config=str(saved), dtype=torch.float16).unet.dtype == torch.float16


def test_a_command_takes_a_checkpoint_in_one_file(saved, one_file, monkeypatch):
    def fetched(checkpoint):
        return {"pretrained_model_name_or_path": str(saved)}

    monkeypatch.setattr("diffusers.loaders.single_file.fetch_diffusers_config", fetched)  # from the hub
    assert type(load_pipeline(str(one_file), "cpu")) is DualLatentPipeline


def test_a_file_of_another_family_names_the_class_to_use(one_file, tmp_path):
    with pytest.raises(CheckpointError, match=r"of Stable Diffusion 1\.x and 2\.x: use DualLatentPipeline or"):
        DualLatentXLPipeline.from_single_file(one_file)
    unsupported, lora = tmp_path / "upscale.safetensors", tmp_path / "lora.safetensors"
    save_file({f"model.diffusion_model.input_blocks.{at}": torch.zeros(1, 7) for at in UPSCALER}, unsupported)
    save_file({"lora_unet_down_blocks_0.alpha": torch.zeros(1)}, lora)
    for loader in (DualLatentPipeline, AutoDualLatentPipeline):
        with pytest.raises(CheckpointError, match=r"lora_unet_down_blocks_0\.alpha.*a LoRA"):
            loader.from_single_file(lora)
    with pytest.raises(CheckpointError, match="holds weights of 'upscale', not of"):
        AutoDualLatentPipeline.from_single_file(unsupported)


def test_a_file_that_lacks_a_component_says_which(saved, one_file, tmp_path):
    file = tmp_path / "unet.safetensors"
    save_file({name: value for name, value in load_file(one_file).items() if "cond_stage" not in name}, file)
    config = shutil.copytree(saved, tmp_path / "config")
    (config / "text_encoder" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"CLIPTextModel.*text_encoder="):
        DualLatentPipeline.from_single_file(file, config=str(config))
    words = tiny.stable_diffusion().text_encoder
    assert DualLatentPipeline.from_single_file(file, config=str(config), text_encoder=words).text_encoder is words


def test_what_diffusers_knows_of_dtypes_maps_and_quantisation_is_passed_on(saved):
    pipe = AutoDualLatentPipeline.from_pretrained(saved, device_map="cpu")
    assert pipe.hf_device_map and type(pipe) is DualLatentPipeline
    unet = UNet2DConditionModel.from_pretrained(saved, subfolder="unet", dtype=torch.bfloat16)
    pipe = AutoDualLatentPipeline.from_pretrained(saved, unet=unet)  # as a GGUF or quantised one is given
    assert pipe.unet is unet and pipe.unet.dtype == torch.bfloat16


def test_a_gguf_denoiser(saved, tmp_path, seeds):
    gguf, file = pytest.importorskip("gguf"), tmp_path / "unet.gguf"
    writer, kind = gguf.GGUFWriter(file, "sd1"), gguf.GGMLQuantizationType.Q8_0
    for name, value in load_file(save_in_one_file(tiny.stable_diffusion(), tmp_path / "model.safetensors")).items():
        if name.startswith("model.diffusion_model."):
            quantised = value.ndim == 2 and value.shape[1] % 32 == 0
            data = gguf.quants.quantize(value.numpy(), kind) if quantised else value.numpy()
            writer.add_tensor(name, data, raw_dtype=kind if quantised else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    config = {"config": str(saved), "subfolder": "unet"}
    quantisation = GGUFQuantizationConfig(compute_dtype=torch.float32)
    unet = UNet2DConditionModel.from_single_file(str(file), quantization_config=quantisation, **config)
    dual = tiny.quiet(AutoDualLatentPipeline.from_pretrained(saved, unet=unet))
    stock = tiny.quiet(StableDiffusionPipeline.from_pretrained(saved, unet=unet))
    family, whole = FAMILIES["sd1"], FAMILIES["sd1"].images(tiny.stable_diffusion(), UNSAFE, generator=seeds(1, 2))
    pair = family.call(dual, UNSAFE, safe_prompt=SAFE, return_pair=True, generator=seeds(1, 2))
    expected = family.images(stock, UNSAFE, generator=seeds(1, 2))
    assert np.array_equal(pair.unsafe_images, expected) and not np.array_equal(pair.images, expected)
    assert not np.array_equal(expected, whole) and np.abs(expected - whole).max() < 0.1


# On another pipeline's modules


def test_from_pipe_casts_no_module_of_the_other_pipeline():
    stock = tiny.stable_diffusion()
    stock.unet.to(torch.bfloat16)
    before = {name: part.dtype for name, part in stock.components.items() if isinstance(part, torch.nn.Module)}
    for make in (DualLatentPipeline, DualLatentImg2ImgPipeline, AutoDualLatentPipeline):
        pipe = make.from_pipe(stock)
        assert pipe.unet is stock.unet and pipe.vae is stock.vae
        assert {name: part.dtype for name, part in stock.components.items() if name in before} == before
    assert before["vae"] == torch.float32 and before["unet"] == torch.bfloat16
    with pytest.raises(ValueError, match=r"dtype=torch\.float16"):
        DualLatentPipeline.from_pipe(stock, dtype=torch.float16)
    assert {name: part.dtype for name, part in stock.components.items() if name in before} == before


def test_from_pipe_copies_the_scheduler():
    stock = tiny.stable_diffusion()
    pipe = DualLatentPipeline.from_pipe(stock)
    assert pipe.scheduler is not stock.scheduler and pipe.scheduler.config == stock.scheduler.config
    mine = tiny.scheduler("epsilon")
    assert DualLatentPipeline.from_pipe(stock, scheduler=mine).scheduler is mine


# In which dtype


@pytest.mark.parametrize(
    ("name", "half"),
    [("sd1", torch.float16), ("xl", torch.float16), ("sd3", torch.bfloat16), ("flux", torch.bfloat16)],
)
def test_a_command_loads_the_half_precision_of_the_family_on_a_gpu(name, half, tmp_path, monkeypatch):
    FAMILIES[name].make().save_pretrained(tmp_path)
    dual = AutoDualLatentPipeline.family_of(tmp_path)
    assert dual.pattern.half == half
    monkeypatch.setattr("dualsafe.cli.load.device_of", lambda asked: asked)  # which refuses what has no numbers
    on_meta = load_pipeline(str(tmp_path), "meta")
    assert getattr(on_meta, on_meta.denoiser_name).dtype == half
    assert getattr(load_pipeline(str(tmp_path), "cpu"), on_meta.denoiser_name).dtype == torch.float32


def test_the_pictures_of_a_loaded_pipeline_are_stocks(saved, seeds):
    stock, dual = StableDiffusionPipeline.from_pretrained(saved), DualLatentPipeline.from_pretrained(saved)
    family = FAMILIES["sd1"]
    pair = family.call(tiny.quiet(dual), UNSAFE, safe_prompt=SAFE, return_pair=True, generator=seeds(1, 2))
    assert (pair.unsafe_images == family.images(tiny.quiet(stock), UNSAFE, generator=seeds(1, 2))).all()
