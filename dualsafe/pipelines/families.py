"""Every family: its stock pipelines, and the pattern of their calls. A new one is an entry here, and a contract run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from diffusers import (
    AuraFlowPipeline,
    ChromaPipeline,
    Flux2KleinPipeline,
    Flux2Pipeline,
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxPipeline,
    Lumina2Pipeline,
    PixArtSigmaPipeline,
    QwenImagePipeline,
    SanaPipeline,
    StableDiffusion3Img2ImgPipeline,
    StableDiffusion3InpaintPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    ZImagePipeline,
)
from diffusers.pipelines.flux2.pipeline_flux2 import format_input

from .dual import DualLatentMixin
from .pattern import CallPattern

__all__ = [
    "DualLatentAuraFlowPipeline",
    "DualLatentChromaPipeline",
    "DualLatentControlNetImg2ImgPipeline",
    "DualLatentControlNetPipeline",
    "DualLatentFlux2KleinPipeline",
    "DualLatentFlux2Pipeline",
    "DualLatentFluxImg2ImgPipeline",
    "DualLatentFluxInpaintPipeline",
    "DualLatentFluxPipeline",
    "DualLatentImg2ImgPipeline",
    "DualLatentInpaintPipeline",
    "DualLatentLumina2Pipeline",
    "DualLatentPipeline",
    "DualLatentPixArtSigmaPipeline",
    "DualLatentQwenImagePipeline",
    "DualLatentSD3Img2ImgPipeline",
    "DualLatentSD3InpaintPipeline",
    "DualLatentSD3Pipeline",
    "DualLatentSanaPipeline",
    "DualLatentXLControlNetImg2ImgPipeline",
    "DualLatentXLControlNetPipeline",
    "DualLatentXLImg2ImgPipeline",
    "DualLatentXLInpaintPipeline",
    "DualLatentXLPipeline",
    "DualLatentZImagePipeline",
]

_NO_CROP = {"padding_mask_crop": "is not supported: crop the picture and paste the result yourself"}
_NO_LATENTS = {"latents": "the loop starts from the picture: give image and strength"}
_MASKED = ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask")
_POOLED = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")

LEFT_OUT = {
    "WanPipeline": "its latents are of a video, and mask, preview and what judges see are of one picture",
    "FluxKontextPipeline": "it edits pictures, which `dualsafe pairs` uses it for; it makes none safe",
}
"""Pipelines that one may look for here, with the reason why they are not."""


def _in_a_chat(pipe: Any, given: dict[str, Any]) -> str:
    """The chat around a prompt, in its longer form: without thinking, for which a family may ask or not."""
    said = [{"role": "user", "content": ""}]
    return pipe.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True, enable_thinking=False)


def _after_a_system_message(pipe: Any, given: dict[str, Any]) -> str:
    return pipe.tokenizer.apply_chat_template(format_input([""])[0], tokenize=False, add_generation_prompt=False)


def _after_a_system_prompt(pipe: Any, given: dict[str, Any]) -> str:
    return f"{given.get('system_prompt') or pipe.system_prompt} <Prompt Start> "


SD = CallPattern("Stable Diffusion 1.x and 2.x", single_files=("v1", "v2"))
XL = CallPattern(
    "Stable Diffusion XL",
    embeds=_POOLED,
    decoding=frozenset({"upcast", "mean"}),
    single_files=("xl_base", "playground-v2-5"),
)
SD3 = CallPattern(
    "Stable Diffusion 3",
    denoiser="transformer",
    embeds=_POOLED,
    windows=False,
    decoding=frozenset({"shift"}),
    half=torch.bfloat16,
    single_files=("sd3", "sd35_large", "sd35_medium"),
    refused={"skip_guidance_layers": "its extra denoiser call has one branch only: leave it None"},
)
FLUX = CallPattern(
    "Flux",
    denoiser="transformer",
    timestep_scale=1000.0,
    embeds=("prompt_embeds", "pooled_prompt_embeds", None),
    negative_apart=True,
    scale="true_cfg_scale",
    packed=True,
    windows=False,
    decoding=frozenset({"shift"}),
    half=torch.bfloat16,  # float16 overflows
    single_files=("flux-dev", "flux-schnell"),
)
PIXART = CallPattern(
    "PixArt Sigma",
    denoiser="transformer",
    fixed_scale=True,
    embeds=_MASKED,
    windows=False,
    decoding=frozenset(),
)
SANA = replace(PIXART, family="Sana", half=torch.bfloat16, single_files=("sana",))
AURA_FLOW = replace(
    PIXART, family="AuraFlow", timestep_scale=1000.0, decoding=frozenset({"upcast"}), single_files=("auraflow",)
)
CHROMA = replace(
    FLUX,
    family="Chroma",
    scale="guidance_scale",
    fixed_scale=True,
    embeds=(*_MASKED[:1], None, *_MASKED[1:3], None, *_MASKED[3:]),
    single_files=("chroma",),
)
LUMINA = CallPattern(
    "Lumina 2",
    denoiser="transformer",
    embeds=_MASKED,
    negative_apart=True,
    after_guidance=True,  # it rescales to the conditional's norm, and tells the model the time from noise to picture
    around=_after_a_system_prompt,
    windows=False,
    decoding=frozenset({"shift"}),
    half=torch.bfloat16,
)
QWEN_IMAGE = CallPattern(
    "Qwen-Image",
    denoiser="transformer",
    timestep_scale=1000.0,
    embeds=("prompt_embeds", "prompt_embeds_mask"),
    negative_apart=True,
    scale="true_cfg_scale",
    after_guidance=True,  # it rescales each token to the conditional's norm
    packed=True,
    texts="padded",
    windows=False,
    decoding=frozenset({"frame"}),
    half=torch.bfloat16,
)
Z_IMAGE = CallPattern(
    "Z-Image",
    denoiser="transformer",
    no_guidance=0.0,
    after_guidance=True,  # it may rescale, and turns the sign of what is guided
    texts="listed",
    around=_in_a_chat,
    windows=False,
    decoding=frozenset({"shift"}),
    side=1024,
    half=torch.bfloat16,
    single_files=("z-image-turbo",),
)
FLUX2 = CallPattern(
    "Flux.2",
    denoiser="transformer",
    timestep_scale=1000.0,
    embeds=("prompt_embeds", None),
    scale=None,
    after_guidance=True,  # each model guides in another way
    packed=True,
    around=_after_a_system_message,
    windows=False,
    decoding=frozenset({"batch_norm"}),
    half=torch.bfloat16,
    refused={"caption_upsample_temperature": "it rewrites prompts after the policy has read them: rewrite them before"},
)
FLUX2_KLEIN = replace(
    FLUX2,
    family="Flux.2 Klein",
    negative_apart=True,
    scale="guidance_scale",
    packed=False,
    around=_in_a_chat,
    decoding=frozenset({"finished"}),
    finished=True,
    refused={},
)


class DualLatentPipeline(DualLatentMixin, StableDiffusionPipeline):
    """`StableDiffusionPipeline` whose pictures are safe."""

    pattern = SD


class DualLatentImg2ImgPipeline(DualLatentMixin, StableDiffusionImg2ImgPipeline):
    """`StableDiffusionImg2ImgPipeline` whose pictures are safe: also to make an existing picture safe."""

    pattern = SD


class DualLatentInpaintPipeline(DualLatentMixin, StableDiffusionInpaintPipeline):
    """`StableDiffusionInpaintPipeline` whose pictures are safe."""

    pattern = replace(SD, refused=_NO_CROP, single_files=("inpainting", "inpainting_v2"))


class DualLatentXLPipeline(DualLatentMixin, StableDiffusionXLPipeline):
    """`StableDiffusionXLPipeline` whose pictures are safe."""

    pattern = XL


class DualLatentXLImg2ImgPipeline(DualLatentMixin, StableDiffusionXLImg2ImgPipeline):
    """`StableDiffusionXLImg2ImgPipeline` whose pictures are safe: also to make an existing picture safe."""

    pattern = replace(XL, single_files=("xl_refiner",))


class DualLatentXLInpaintPipeline(DualLatentMixin, StableDiffusionXLInpaintPipeline):
    """`StableDiffusionXLInpaintPipeline` whose pictures are safe."""

    pattern = replace(XL, refused=_NO_CROP, single_files=("xl_inpaint",))


class DualLatentSD3Pipeline(DualLatentMixin, StableDiffusion3Pipeline):
    """`StableDiffusion3Pipeline` whose pictures are safe."""

    pattern = SD3


class DualLatentFluxPipeline(DualLatentMixin, FluxPipeline):
    """`FluxPipeline` whose pictures are safe.

    With `true_cfg_scale` over 1 the mask compares the branches' conditional predictions, times that scale.
    """

    pattern = FLUX


class DualLatentControlNetPipeline(DualLatentMixin, StableDiffusionControlNetPipeline):
    """`StableDiffusionControlNetPipeline` whose pictures are safe."""

    pattern = replace(SD, single_files=())


class DualLatentControlNetImg2ImgPipeline(DualLatentMixin, StableDiffusionControlNetImg2ImgPipeline):
    """`StableDiffusionControlNetImg2ImgPipeline` whose pictures are safe."""

    pattern = replace(SD, fixed_scale=True, refused=_NO_LATENTS, single_files=())


class DualLatentXLControlNetPipeline(DualLatentMixin, StableDiffusionXLControlNetPipeline):
    """`StableDiffusionXLControlNetPipeline` whose pictures are safe."""

    pattern = replace(XL, fixed_scale=True, single_files=())


class DualLatentXLControlNetImg2ImgPipeline(DualLatentMixin, StableDiffusionXLControlNetImg2ImgPipeline):
    """`StableDiffusionXLControlNetImg2ImgPipeline` whose pictures are safe."""

    pattern = replace(XL, fixed_scale=True, refused=_NO_LATENTS, single_files=())


class DualLatentSD3Img2ImgPipeline(DualLatentMixin, StableDiffusion3Img2ImgPipeline):
    """`StableDiffusion3Img2ImgPipeline` whose pictures are safe."""

    pattern = replace(SD3, refused=_NO_LATENTS, single_files=())


class DualLatentSD3InpaintPipeline(DualLatentMixin, StableDiffusion3InpaintPipeline):
    """`StableDiffusion3InpaintPipeline` whose pictures are safe."""

    # It decodes without the shift that its family's autoencoder has.
    pattern = replace(SD3, refused=_NO_CROP, decoding=frozenset({"generator"}), single_files=())


class DualLatentFluxImg2ImgPipeline(DualLatentMixin, FluxImg2ImgPipeline):
    """`FluxImg2ImgPipeline` whose pictures are safe."""

    pattern = replace(FLUX, single_files=())


class DualLatentFluxInpaintPipeline(DualLatentMixin, FluxInpaintPipeline):
    """`FluxInpaintPipeline` whose pictures are safe."""

    pattern = replace(FLUX, refused=_NO_CROP, single_files=())


class DualLatentChromaPipeline(DualLatentMixin, ChromaPipeline):
    """`ChromaPipeline` whose pictures are safe."""

    pattern = CHROMA


class DualLatentPixArtSigmaPipeline(DualLatentMixin, PixArtSigmaPipeline):
    """`PixArtSigmaPipeline` whose pictures are safe."""

    pattern = PIXART


class DualLatentSanaPipeline(DualLatentMixin, SanaPipeline):
    """`SanaPipeline` whose pictures are safe."""

    pattern = SANA


class DualLatentAuraFlowPipeline(DualLatentMixin, AuraFlowPipeline):
    """`AuraFlowPipeline` whose pictures are safe."""

    pattern = AURA_FLOW


class DualLatentLumina2Pipeline(DualLatentMixin, Lumina2Pipeline):
    """`Lumina2Pipeline` whose pictures are safe."""

    pattern = LUMINA


class DualLatentQwenImagePipeline(DualLatentMixin, QwenImagePipeline):
    """`QwenImagePipeline` whose pictures are safe."""

    pattern = QWEN_IMAGE


class DualLatentZImagePipeline(DualLatentMixin, ZImagePipeline):
    """`ZImagePipeline` whose pictures are safe."""

    pattern = Z_IMAGE


class DualLatentFlux2Pipeline(DualLatentMixin, Flux2Pipeline):
    """`Flux2Pipeline` whose pictures are safe."""

    pattern = FLUX2


class DualLatentFlux2KleinPipeline(DualLatentMixin, Flux2KleinPipeline):
    """`Flux2KleinPipeline` whose pictures are safe."""

    pattern = FLUX2_KLEIN
