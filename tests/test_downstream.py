"""Where others load us by their own doors: diffusers' custom_pipeline, ComfyUI's custom nodes."""

from __future__ import annotations

import importlib.util
import inspect
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tiny
import torch
from diffusers import DiffusionPipeline
from families import FAMILIES, SAFE, UNSAFE

from dualsafe import custom_pipeline
from dualsafe.pipelines.dual import DualLatentMixin

NODE = Path(__file__).resolve().parent.parent / "examples" / "comfyui_node.py"


@pytest.mark.parametrize(("name", "made"), [("sd", "sd1"), ("xl", "xl"), ("sd3", "sd3"), ("flux", "flux")])
def test_a_custom_pipeline_of_diffusers(name, made, tmp_path, monkeypatch, seeds):
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    family = FAMILIES[made]
    stock = family.make()
    stock.save_pretrained(tmp_path / "model")
    told = {"custom_pipeline": custom_pipeline.path_of(name), "trust_remote_code": True}
    pipe = tiny.quiet(DiffusionPipeline.from_pretrained(tmp_path / "model", **told))
    assert isinstance(pipe, DualLatentMixin) and isinstance(pipe, type(stock))
    pair = family.call(pipe, UNSAFE, safe_prompt=SAFE, return_pair=True, generator=seeds(1, 2))
    assert np.array_equal(pair.unsafe_images, family.images(stock, UNSAFE, generator=seeds(1, 2)))


def test_an_unknown_custom_pipeline_is_refused():
    with pytest.raises(ValueError, match="family='video' is not one of sd, xl, sd3, flux"):
        custom_pipeline.path_of("video")


# ComfyUI, by what its documentation says of custom nodes (docs.comfy.org, "Custom Nodes", "Properties" and "Datatypes")

WIDGETS = {"STRING": str, "FLOAT": float, "INT": int}


def loaded(path: Path) -> ModuleType:
    """A custom node as ComfyUI loads one: a file under a name of its path."""
    spec = importlib.util.spec_from_file_location(str(path), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["DualSafePicture", "DualSafePair"])
def test_a_node_of_comfyui(name, tmp_path):
    module = loaded(NODE)
    assert module.NODE_CLASS_MAPPINGS.keys() == module.NODE_DISPLAY_NAME_MAPPINGS.keys()
    node = module.NODE_CLASS_MAPPINGS[name]
    inputs = node.INPUT_TYPES()
    assert set(inputs) <= {"required", "optional", "hidden"} and isinstance(node.CATEGORY, str)
    for kind, options in inputs["required"].values():
        default = options["default"]
        assert type(default) is WIDGETS[kind] and options.get("min", default) <= default <= options.get("max", default)
    run = getattr(node(), node.FUNCTION)
    assert inspect.signature(run).parameters.keys() == inputs["required"].keys()
    tiny.stable_diffusion().save_pretrained(tmp_path)
    given = {"model": str(tmp_path), "prompt": "a man with a knife", "steps": 2, "seed": 2**64 - 1, "safety_level": 0.5}
    told = {key: given.get(key, options["default"]) for key, (_, options) in inputs["required"].items()}
    results = run(**told)
    assert isinstance(results, tuple) and len(results) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    for value, kind in zip(results, node.RETURN_TYPES):
        if kind == "STRING":
            assert json.loads(value)["level"] == 0.5
            continue
        shape = (1, 16, 16, 3) if kind == "IMAGE" else (1, 16, 16)
        assert value.shape == shape and value.dtype == torch.float32 and value.device.type == "cpu"
        assert value.min() >= 0 and value.max() <= 1
    again = run(**told)  # the node keeps its model, and a seed is a picture
    assert torch.equal(results[0], again[0])
