"""Stable Diffusion 1.x and 2.x."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from ..bundled import PICTO
from ..config import MethodSettings
from ..denoiser import DualDenoiser, Schedule, denoising_with
from ..policy import Policy, resolve
from . import arguments, noise
from .checkpoint import load
from .output import DualLatentOutput
from .pictures import finish
from .request import Request, checked


class DualLatentPipeline(StableDiffusionPipeline):
    """Stable Diffusion whose pictures are safe, by two latent trajectories from one noise (arXiv 2411.13982).

    Loads, saves, moves and offloads as `StableDiffusionPipeline` does, from the same checkpoints. A checkpoint's own
    safety checker is run on the safe pictures as always.

    A `callback_on_step_end` sees the latents of both branches stacked, (2N, C, h, w): the N originals, then the N safe
    ones; and embeddings stacked alike. Where every sample is benign it sees the stock (N, C, h, w).
    """

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> DualLatentPipeline:
        """Loads a checkpoint in the diffusers layout, from safetensors only.

        Args:
            pretrained_model_name_or_path: a folder, or a hub id; `dualsafe.PICTO` is the bundled checkpoint.
            **kwargs: as `DiffusionPipeline.from_pretrained` takes (`dtype`, ...).

        Raises:
            CheckpointError: missing, truncated, or pickled.
        """
        return load(super().from_pretrained, pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **kwargs: Any) -> DualLatentPipeline:
        """The dual pipeline on another pipeline's components, shared and kept in their dtype."""
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", pipeline.dtype)
        return super().from_pipe(pipeline, **kwargs)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        timesteps: list[int] | None = None,
        sigmas: list[float] | None = None,
        guidance_scale: float = 7.5,
        negative_prompt: str | list[str] | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: noise.Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: list[Tensor] | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        guidance_rescale: float = 0.0,
        clip_skip: int | None = None,
        callback_on_step_end: Callable | None = None,
        callback_on_step_end_tensor_inputs: list[str] = ["latents"],  # noqa: B006 - the parent's signature
        *,
        safety_level: float | str | list[float | str] = "max",
        safe_prompt: str | list[str | None] | None = None,
        safe_prompt_embeds: Tensor | None = None,
        policy: str | os.PathLike | Policy | None = None,
        return_pair: bool = False,
        settings: MethodSettings | None = None,
    ) -> DualLatentOutput | tuple:
        """Generates safe pictures; all arguments not listed are those of `StableDiffusionPipeline.__call__`.

        Args:
            safety_level: weight of the safe branch in [0, 1], a name from `dualsafe.PRESETS`, or one for each prompt.
                At 0 the picture is the stock picture, to the bit, at the stock cost.
            safe_prompt: what the safe branch is told; one for each prompt, None where the policy is to find it.
            safe_prompt_embeds: the same as embeddings, (prompts, tokens, width).
            policy: a shipped policy's name, a YAML file or a `Policy`; by default "picto" for the bundled checkpoint
                and "i2p" for any other. A category's own level overrides the dial.
            return_pair: also return the original, unsafe pictures, marked as such.
            settings: phases and mask of the method.
            generator: with a scheduler that draws noise in its steps, several pictures need a list of generators.
            output_type: "pil", "np", "pt" or "latent".

        Returns:
            `DualLatentOutput`, or with `return_dict=False` its five fields as a tuple.

        Raises:
            ValueError: an argument that can't be; the message names it, its value and what is accepted.
            PolicyViolation: a prompt asks for what is never generated, at any level.
            NonFiniteLatentsError: denoising gave NaN or infinite latents; no picture is returned.
        """
        request = checked(
            prompt, prompt_embeds, num_images_per_prompt, num_inference_steps, output_type,
            safety_level, safe_prompt, safe_prompt_embeds, self._policy(policy), return_pair, settings,
        )  # fmt: skip
        height, width = self._size(height, width)
        self.check_inputs(
            prompt, height, width, None, negative_prompt, prompt_embeds, negative_prompt_embeds,
            ip_adapter_image, ip_adapter_image_embeds, callback_on_step_end_tensor_inputs,
        )  # fmt: skip
        arguments.check_clip_skip(clip_skip, self.text_encoder)
        plan = request.plan(guidance_scale, guidance_rescale)
        n = len(plan.levels)

        text_options = {"lora_scale": (cross_attention_kwargs or {}).get("scale"), "clip_skip": clip_skip}
        embeds, negative_embeds = self.encode_prompt(
            prompt,
            self._execution_device,
            num_images_per_prompt,
            guidance_scale > 1 and self.unet.config.time_cond_proj_dim is None,
            negative_prompt,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            **text_options,
        )
        start = self._start(n, height, width, embeds.dtype, generator, latents)
        generators = generator
        if plan.dual:
            embeds = torch.cat([embeds, self._encode_safe(request, embeds, **text_options)])
            negative_embeds = None if negative_embeds is None else torch.cat([negative_embeds, negative_embeds])
            start = torch.cat([start, start])
            generators = noise.paired(generator, n, noise.is_stochastic(self.scheduler, eta))

        with denoising_with(self, "unet", DualDenoiser(self.unet, plan, Schedule.of(self.scheduler))) as denoiser:
            final, _ = super().__call__(
                height=height,
                width=width,
                num_inference_steps=num_inference_steps,
                timesteps=timesteps,
                sigmas=sigmas,
                guidance_scale=guidance_scale,
                eta=eta,
                generator=generators,
                latents=start,
                prompt_embeds=embeds,
                negative_prompt_embeds=negative_embeds,
                ip_adapter_image=ip_adapter_image,
                ip_adapter_image_embeds=ip_adapter_image_embeds,
                output_type="latent",
                return_dict=False,
                cross_attention_kwargs=cross_attention_kwargs,
                guidance_rescale=guidance_rescale,
                clip_skip=clip_skip,
                callback_on_step_end=callback_on_step_end,
                callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
            )
        output = finish(self, final, denoiser, request, output_type, generator)
        return output if return_dict else output.to_tuple()

    def _policy(self, policy: str | os.PathLike | Policy | None) -> Policy:
        if policy is None:
            policy = "picto" if str(self.config.get("_name_or_path")) == PICTO else "i2p"
        return resolve(policy)

    def _size(self, height: int | None, width: int | None) -> tuple[int, int]:
        """Height and width in pixels; the model's own where neither is given.

        Raises:
            ValueError: one of the two alone, which the stock pipeline would silently drop.
        """
        if (height is None) != (width is None):
            raise ValueError(f"height={height!r} and width={width!r}: give both or neither")
        if height is not None and width is not None:
            arguments.check_positive("height", height)
            arguments.check_positive("width", width)
            return height, width
        side = self.unet.config.sample_size
        rows, columns = (side, side) if isinstance(side, int) else side
        return rows * self.vae_scale_factor, columns * self.vae_scale_factor

    def _encode_safe(self, request: Request, like: Tensor, **options: Any) -> Tensor:
        """Embeddings of the safe branch, (samples, tokens, width); benign samples keep their own, unused."""
        dual, each, given = request.dual, request.images_per_prompt, request.safe_prompt_embeds
        if given is None:
            texts = [request.decisions[i].safe_prompt for i in dual]
            safe, _ = self.encode_prompt(texts, self._execution_device, each, False, **options)
        elif given.shape[1:] == like.shape[1:]:
            safe = given[dual].to(like).repeat_interleave(each, 0)
        else:
            found, needed = tuple(given.shape[1:]), tuple(like.shape[1:])
            raise ValueError(f"safe_prompt_embeds has {found} tokens and width, the prompt {needed}")
        like = like.clone()
        like[[i * each + k for i in dual for k in range(each)]] = safe
        return like

    def _start(
        self, n: int, height: int, width: int, dtype: torch.dtype, generator: noise.Generators, latents: Tensor | None
    ) -> Tensor:
        """The one noise, drawn as the stock pipeline draws it; (n, C, h, w)."""
        factor = self.vae_scale_factor
        shape = (n, self.unet.config.in_channels, height // factor, width // factor)
        arguments.check_generators(generator, n)
        arguments.check_latents(latents, shape)
        if latents is not None:
            return latents.to(self._execution_device)
        return randn_tensor(shape, generator=generator, device=self._execution_device, dtype=dtype)
