"""Stable Diffusion 1.x in one file, named as it was published: what diffusers' converters undo."""

from __future__ import annotations

from pathlib import Path

from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_UNET = {
    "conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0", "conv_out": "out.2", "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2",
}  # fmt: skip
_VAE = {
    "mid_block.attentions.0.group_norm": "mid.attn_1.norm", "mid_block.attentions.0.to_q": "mid.attn_1.q",
    "mid_block.attentions.0.to_k": "mid.attn_1.k", "mid_block.attentions.0.to_v": "mid.attn_1.v",
    "mid_block.attentions.0.to_out.0": "mid.attn_1.proj_out", "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2", "conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut",
}  # fmt: skip


def save_in_one_file(pipe: StableDiffusionPipeline, file: Path) -> Path:
    """Writes UNet, autoencoder and text encoder to `file`."""
    unet, vae, words = (part.state_dict() for part in (pipe.unet, pipe.vae, pipe.text_encoder))
    names = _unet_names(pipe.unet.config)
    found = {f"model.diffusion_model.{_renamed(_resnet(name), names)}": value for name, value in unet.items()}
    names = _VAE | _vae_names(pipe.vae.config)
    found |= {f"first_stage_model.{_renamed(name, names)}": _as_conv(name, value) for name, value in vae.items()}
    clip = "cond_stage_model.transformer.text_model."
    found |= {clip + name.removeprefix("text_model."): value for name, value in words.items()}
    save_file({name: value.contiguous() for name, value in found.items()}, file)
    return file


def _renamed(name: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        name = name.replace(f"{old}.", f"{new}.")
    return name


def _resnet(name: str) -> str:
    return _renamed(name, _RESNET) if ".resnets." in name else name


def _unet_names(config: dict) -> dict[str, str]:
    layers, names = config["layers_per_block"], dict(_UNET)
    for i in range(len(config["down_block_types"])):
        for j in range(layers):
            block = f"input_blocks.{(layers + 1) * i + j + 1}"
            names |= {f"down_blocks.{i}.resnets.{j}": f"{block}.0", f"down_blocks.{i}.attentions.{j}": f"{block}.1"}
        names[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{(layers + 1) * (i + 1)}.0.op"
    for i, kind in enumerate(config["up_block_types"]):
        for j in range(layers + 1):
            block = f"output_blocks.{(layers + 1) * i + j}"
            names |= {f"up_blocks.{i}.resnets.{j}": f"{block}.0", f"up_blocks.{i}.attentions.{j}": f"{block}.1"}
        place = 2 if "CrossAttn" in kind else 1
        names[f"up_blocks.{i}.upsamplers.0"] = f"output_blocks.{(layers + 1) * i + layers}.{place}"
    return names


def _vae_names(config: dict) -> dict[str, str]:
    blocks, names = len(config["block_out_channels"]), {}
    for i in range(blocks):
        names[f"down_blocks.{i}.downsamplers.0"] = f"down.{i}.downsample"
        names[f"up_blocks.{i}.upsamplers.0"] = f"up.{blocks - 1 - i}.upsample"
        for j in range(config["layers_per_block"] + 1):
            names[f"down_blocks.{i}.resnets.{j}"] = f"down.{i}.block.{j}"
            names[f"up_blocks.{i}.resnets.{j}"] = f"up.{blocks - 1 - i}.block.{j}"
    return names


def _as_conv(name: str, value: Tensor) -> Tensor:
    """The autoencoder's attention was made of 1x1 convolutions."""
    return value[..., None, None] if ".attentions." in name and value.ndim == 2 else value
