"""The families of speed.py with random weights: real classes, at the published sizes or at tiny ones.

A full configuration is what the checkpoint's own `config.json` files say, less what is the class's default; a tiny one
is the same with smaller numbers. The tokenizers know single bytes: what a text encoder costs depends on its padded
length and not on the words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

from dualsafe.pipelines import (
    DualLatentFluxPipeline,
    DualLatentPipeline,
    DualLatentSD3Pipeline,
    DualLatentXLPipeline,
)

Config = dict[str, Any]

_CLIP = {"vocab_size": 49408, "max_position_embeddings": 77, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
_CLIP_L = _CLIP | {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "hidden_act": "quick_gelu", "projection_dim": 768,
}  # fmt: skip
_CLIP_G = _CLIP | {
    "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
    "hidden_act": "gelu", "projection_dim": 1280,
}  # fmt: skip
_T5 = {
    "vocab_size": 32128, "d_model": 4096, "d_ff": 10240, "d_kv": 64, "num_layers": 24, "num_heads": 64,
    "feed_forward_proj": "gated-gelu", "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128,
}  # fmt: skip
_TINY_CLIP = {
    "vocab_size": 600, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "projection_dim": 32,
}  # fmt: skip
_TINY_T5 = {"vocab_size": 600, "d_model": 64, "d_ff": 64, "d_kv": 8, "num_layers": 1, "num_heads": 4}

_VAE = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4, "norm_num_groups": 32,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    "sample_size": 512, "scaling_factor": 0.18215,
}  # fmt: skip
_VAE_XL = _VAE | {"sample_size": 1024, "scaling_factor": 0.13025}
_VAE_16 = _VAE | {"latent_channels": 16, "sample_size": 1024, "use_quant_conv": False, "use_post_quant_conv": False}
_TINY_VAE = {"block_out_channels": (16, 16, 32, 32), "layers_per_block": 1, "norm_num_groups": 8, "sample_size": 64}

_DIFFUSION = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


@dataclass(frozen=True)
class Part:
    """A component: its class, the published configuration and what is smaller in the tiny one."""

    kind: Callable[..., Any]
    full: Config
    tiny: Config = field(default_factory=dict)

    def make(self, scale: str) -> Any:
        return self.kind(**self.full | (self.tiny if scale == "tiny" else {}))


def _clip(config: Config, projected: bool = False) -> Part:
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    return Part(lambda **told: kind(CLIPTextConfig(**told)), config, _TINY_CLIP)


def _t5() -> Part:
    return Part(lambda **told: T5EncoderModel(T5Config(**told)), _T5, _TINY_T5)


def _tokenizer(length: int) -> Part:
    return Part(byte_tokenizer, {"model_max_length": length})


def byte_tokenizer(model_max_length: int) -> CLIPTokenizer:
    """A byte-level tokenizer without merges; the end token has the highest id, where CLIP looks for it."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=model_max_length)


@dataclass(frozen=True)
class Family:
    """A model family with random weights.

    Attributes:
        stock, dual: the pipeline classes.
        denoiser: name of the component that denoises.
        parts: the components, by name.
        call: arguments of every call, with the usual number of steps.
        side: height and width of a picture in pixels, full.
        baselines: the methods of `dualsafe.baselines` that know the family.
        options: what the pipeline classes are constructed with, beside components.
    """

    stock: type[DiffusionPipeline]
    dual: type[DiffusionPipeline]
    denoiser: str
    parts: dict[str, Part]
    call: Config
    side: int
    baselines: tuple[str, ...] = ()
    options: Config = field(default_factory=dict)

    def make(self, scale: str, device: str, dtype: torch.dtype) -> tuple[DiffusionPipeline, DiffusionPipeline]:
        """The stock and the dual pipeline on the same new components, made where they are to run.

        Args:
            scale: "full" or "tiny".
            device: "meta" gives modules without values.
        """
        torch.manual_seed(0)
        made = {}
        for name, part in self.parts.items():
            with nullcontext() if name == "scheduler" else _made_on(device, dtype):  # its tables stay on the host
                made[name] = part.make(scale)
            if isinstance(made[name], torch.nn.Module):
                made[name].eval().requires_grad_(False).to(device)  # what was made with numpy, too
        pipes = self.stock(**made, **self.options), self.dual(**made, **self.options)
        for pipe in pipes:
            pipe.set_progress_bar_config(disable=True)
        return pipes

    def arguments(self, scale: str) -> Config:
        side = self.side if scale == "full" else _TINY_VAE["sample_size"]
        return self.call | {"height": side, "width": side}


@contextmanager
def _made_on(device: str, dtype: torch.dtype) -> Iterator[None]:
    """New modules lie on `device` in `dtype` from the start, so that no copy in float32 on the host is needed."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


_SD15 = Family(
    StableDiffusionPipeline,
    DualLatentPipeline,
    "unet",
    {
        "vae": Part(AutoencoderKL, _VAE, _TINY_VAE),
        "text_encoder": _clip(_CLIP_L),
        "tokenizer": _tokenizer(77),
        "unet": Part(
            UNet2DConditionModel,
            {
                "sample_size": 64, "block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2,
                "attention_head_dim": 8, "cross_attention_dim": 768, "norm_num_groups": 32,
                "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
                "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
            },
            {
                "sample_size": 8, "block_out_channels": (32, 32, 64, 64), "layers_per_block": 1,
                "cross_attention_dim": 32, "norm_num_groups": 8,
            },
        ),
        "scheduler": Part(PNDMScheduler, _DIFFUSION | {"skip_prk_steps": True}),
        "safety_checker": Part(lambda: None, {}),
        "feature_extractor": Part(lambda: None, {}),
    },
    {"num_inference_steps": 25, "guidance_scale": 7.5},
    512,
    ("sld-medium", "safree"),
    {"requires_safety_checker": False},
)  # fmt: skip

_SDXL = Family(
    StableDiffusionXLPipeline,
    DualLatentXLPipeline,
    "unet",
    {
        "vae": Part(AutoencoderKL, _VAE_XL, _TINY_VAE),
        "text_encoder": _clip(_CLIP_L),
        "text_encoder_2": _clip(_CLIP_G, projected=True),
        "tokenizer": _tokenizer(77),
        "tokenizer_2": _tokenizer(77),
        "unet": Part(
            UNet2DConditionModel,
            {
                "sample_size": 128, "block_out_channels": (320, 640, 1280), "layers_per_block": 2,
                "attention_head_dim": (5, 10, 20), "transformer_layers_per_block": (1, 2, 10),
                "cross_attention_dim": 2048, "use_linear_projection": True, "norm_num_groups": 32,
                "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816,
                "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            },
            {
                "sample_size": 8, "block_out_channels": (32, 32, 64), "layers_per_block": 1,
                "attention_head_dim": (2, 2, 4), "transformer_layers_per_block": (1, 1, 2), "cross_attention_dim": 64,
                "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 80, "norm_num_groups": 8,
            },
        ),
        "scheduler": Part(EulerDiscreteScheduler, _DIFFUSION | {"timestep_spacing": "leading"}),
    },
    {"num_inference_steps": 25, "guidance_scale": 5.0},
    1024,
    ("sld-medium",),
    {"add_watermarker": False},
)  # fmt: skip

_SD3 = Family(
    StableDiffusion3Pipeline,
    DualLatentSD3Pipeline,
    "transformer",
    {
        "transformer": Part(
            SD3Transformer2DModel,
            {
                "sample_size": 128, "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 24,
                "num_attention_heads": 24, "attention_head_dim": 64, "joint_attention_dim": 4096,
                "caption_projection_dim": 1536, "pooled_projection_dim": 2048, "pos_embed_max_size": 192,
            },
            {
                "sample_size": 8, "num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 16,
                "joint_attention_dim": 64, "caption_projection_dim": 32, "pooled_projection_dim": 64,
                "pos_embed_max_size": 8,
            },
        ),
        "scheduler": Part(FlowMatchEulerDiscreteScheduler, {"shift": 3.0}),
        "vae": Part(AutoencoderKL, _VAE_16 | {"scaling_factor": 1.5305, "shift_factor": 0.0609}, _TINY_VAE),
        "text_encoder": _clip(_CLIP_L, projected=True),
        "tokenizer": _tokenizer(77),
        "text_encoder_2": _clip(_CLIP_G, projected=True),
        "tokenizer_2": _tokenizer(77),
        "text_encoder_3": _t5(),
        "tokenizer_3": _tokenizer(512),
    },
    {"num_inference_steps": 28, "guidance_scale": 7.0},
    1024,
)  # fmt: skip

_FLUX_SCHNELL = Family(
    FluxPipeline,
    DualLatentFluxPipeline,
    "transformer",
    {
        "scheduler": Part(FlowMatchEulerDiscreteScheduler, {"shift": 1.0}),
        "vae": Part(AutoencoderKL, _VAE_16 | {"scaling_factor": 0.3611, "shift_factor": 0.1159}, _TINY_VAE),
        "text_encoder": _clip(_CLIP_L),
        "tokenizer": _tokenizer(77),
        "text_encoder_2": _t5(),
        "tokenizer_2": _tokenizer(512),
        "transformer": Part(
            FluxTransformer2DModel,
            {
                "patch_size": 1, "in_channels": 64, "num_layers": 19, "num_single_layers": 38,
                "num_attention_heads": 24, "attention_head_dim": 128, "joint_attention_dim": 4096,
                "pooled_projection_dim": 768, "axes_dims_rope": (16, 56, 56), "guidance_embeds": False,
            },
            {
                "num_layers": 1, "num_single_layers": 1, "num_attention_heads": 2, "attention_head_dim": 16,
                "joint_attention_dim": 64, "pooled_projection_dim": 32, "axes_dims_rope": (4, 4, 8),
            },
        ),
    },
    {"num_inference_steps": 4, "guidance_scale": 0.0, "max_sequence_length": 256},
    1024,
)  # fmt: skip

FAMILIES: dict[str, Family] = {"sd15": _SD15, "sdxl": _SDXL, "sd3": _SD3, "flux-schnell": _FLUX_SCHNELL}
"""Stable Diffusion 1.5, SDXL base 1.0, Stable Diffusion 3 medium, FLUX.1 schnell."""


def parameters(pipe: DiffusionPipeline) -> dict[str, int]:
    """Parameters of each component that has some."""
    modules = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    return {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}
