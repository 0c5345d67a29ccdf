"""A stock pipeline as a dual call uses it: everything here knows diffusers, and nothing of what is safe."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from diffusers import AsymmetricAutoencoderKL, AutoencoderKL, DiffusionPipeline
from torch import Tensor

from ..checks import check_number
from ..layout import Layout
from ..plan import Guidance
from ..stand_in import StandIn, standing_in
from . import arguments, control
from .decode import decode, without_batch_norm
from .noise import Generators
from .pattern import CallPattern
from .steps import check_steps
from .texts import EMBEDS, KINDS, MASK, lengthened


@dataclass
class Stock:
    """
    Attributes:
        pipe: the pipeline.
        stock_call: the stock class's `__call__`, bound.
        pattern: of its family.
        cut_to: height and width to which pictures are brought that were drawn in one of the model's own resolutions;
            `check` sets it.
    """

    pipe: DiffusionPipeline | Any
    stock_call: Callable
    pattern: CallPattern
    cut_to: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._texts = KINDS[self.pattern.texts]()
        scale = self.denoiser.config.get("timestep_scale") or 1.0  # Sana's own, beside its family's
        self.pattern = replace(self.pattern, timestep_scale=self.pattern.timestep_scale / scale)

    # The call

    def arguments(self, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
        """All arguments of a stock call by name, defaults filled in.

        Raises:
            TypeError: an argument that the stock call does not have; some would silently drop it.
            ValueError: one that the method cannot honour.
        """
        given = arguments.stock_arguments(self.stock_call, args, kwargs)
        arguments.check_refused(given, self.pattern.refused, self.stock_call)
        return {"callback_on_step_end": None} | self.padded(given, given)

    def call(self, **told: Any) -> tuple:
        """The stock call, with what stands in the pipeline in the place of its components."""
        name = self.pattern.denoiser
        if told["callback_on_step_end"] is None:
            del told["callback_on_step_end"]  # an older pipeline has no such argument
        model = getattr(self.pipe, name)
        seen = _with_variance(model) if _learns_variance(model) else model
        seen = self._texts.loop(seen, *told[EMBEDS].shape[:2])
        with standing_in(self.pipe, {} if seen is model else {name: seen}):
            return self.stock_call(**self._texts.outward(told))

    def check(self, given: dict[str, Any], prompts: int) -> None:
        """Everything that the stock pipeline would refuse, before anything is computed; writes the size into `given`.

        Raises:
            ValueError: an argument that cannot be.
        """
        for name in ("height", "width", "num_inference_steps", "num_images_per_prompt"):
            if given.get(name) is not None or name == "num_images_per_prompt":
                given[name] = arguments.whole(name, given.get(name))
        for name in ("guidance_scale", "true_cfg_scale", "guidance_rescale", "strength"):
            if given.get(name) is not None and not isinstance(given[name], Tensor):
                check_number(name, given[name], -math.inf)
        if given.get("num_inference_steps") and given.get("timesteps") is None and given.get("sigmas") is None:
            check_steps(self.pipe.scheduler, given["num_inference_steps"])
        if "height" in given and not self._as_large_as_its_picture(given):
            given["height"], given["width"] = self.size(given["height"], given["width"])
        checked = control.as_checked(given, self.pipe)
        if given.get("use_resolution_binning"):
            self.cut_to = given["height"], given["width"]
            checked = checked | {"height": 32, "width": 32}  # the stock call checks what it chooses
        if hasattr(self.pipe, "check_inputs"):
            checked, wanted = self._texts.outward(checked), inspect.signature(self.pipe.check_inputs).parameters
            self.pipe.check_inputs(**{name: checked.get(name) for name in wanted})
        if "prompt_2" not in given:
            arguments.check_clip_skip(given.get("clip_skip"), self.pipe.text_encoder)
        pictures = prompts * given["num_images_per_prompt"]
        arguments.check_generators(given.get("generator"), pictures)
        if given.get("latents") is not None:
            if self.cut_to or given.get("height") is None:
                raise ValueError("latents go with height and width, and with use_resolution_binning=False")
            arguments.check_latents(given["latents"], self._latent_shape(given, pictures))
        if "mask_image" in given and isinstance(self.pipe.vae, AsymmetricAutoencoderKL):
            raise ValueError("vae=AsymmetricAutoencoderKL looks at the picture to be inpainted: use an AutoencoderKL")

    def size(self, height: int | None, width: int | None) -> tuple[int, int]:
        """Height and width in pixels; the model's own where neither is given.

        Raises:
            ValueError: one of the two alone, which some stock pipelines would silently drop.
        """
        if (height is None) != (width is None):
            raise ValueError(f"height={height!r} and width={width!r}: give both or neither")
        if height is not None and width is not None:
            return height, width
        if self.pattern.side is not None:
            return self.pattern.side, self.pattern.side
        side = getattr(self.pipe, "default_sample_size", None) or self.denoiser.config.sample_size
        rows, columns = (side, side) if isinstance(side, int) else side
        return rows * self.pipe.vae_scale_factor, columns * self.pipe.vae_scale_factor

    def _as_large_as_its_picture(self, given: dict[str, Any]) -> bool:
        """Whether the picture given to a ControlNet says how large the result is."""
        return hasattr(self.pipe, "controlnet") and given["height"] is None and given["width"] is None

    def _latent_shape(self, given: dict[str, Any], pictures: int) -> tuple[int, ...]:
        """Shape of the `latents` that the stock call takes."""
        in_patches = self.pattern.finished or "batch_norm" in self.pattern.decoding
        factor = self.pipe.vae_scale_factor * (2 if self.pattern.packed or in_patches else 1)
        rows, columns = given["height"] // factor, given["width"] // factor
        if in_patches:
            return pictures, self.denoiser.config.in_channels, rows, columns
        if self.pattern.packed:
            return pictures, rows * columns, self.denoiser.config.in_channels
        return pictures, self.pipe.vae.config.latent_channels, rows, columns

    @property
    def denoiser(self) -> Any:
        """The model that denoises, called for its prediction alone."""
        model = getattr(self.pipe, self.pattern.denoiser)
        return self._texts.model(_without_variance(model) if _learns_variance(model) else model)

    def guidance(self, given: dict[str, Any]) -> Guidance:
        """How the stock loop forms the guided prediction."""
        if self.pattern.scale is None or self.pipe.config.get("is_distilled"):
            return Guidance(1.0)
        scale = given[self.pattern.scale] + 1.0 - self.pattern.no_guidance
        if self.pattern.negative_apart:
            negative = given.get("negative_prompt") is not None or given["negative_prompt_embeds"] is not None
            apart = scale > 1 and (negative or self.pattern.scale == "guidance_scale")
            return Guidance(scale if apart else 1.0, apart=apart)
        distilled = self.denoiser.config.get("time_cond_proj_dim") is not None
        return Guidance(1.0 if distilled else scale, given.get("guidance_rescale", 0.0))

    def guidance_now(self, given: dict[str, Any]) -> Guidance:
        """The same in the midst of the loop: a callback may have changed the scale."""
        if self.pattern.fixed_scale:
            return self.guidance(given)
        live = {name: getattr(self.pipe, f"_{name}", None) for name in ("guidance_scale", "guidance_rescale")}
        return self.guidance(given | {name: value for name, value in live.items() if value is not None})

    @property
    def is_interrupted(self) -> bool:
        """Whether the loop was told to end, by a callback or from another thread."""
        return bool(getattr(self.pipe, "_interrupt", False))

    def interrupt(self, wanted: bool = True) -> None:
        self.pipe._interrupt = wanted

    # Texts to embeddings

    @cached_property
    def added_tokens(self) -> frozenset[str]:
        """Words that a textual inversion gave to one of the tokenizers."""
        found: set[str] = set()
        for name, part in self.pipe.components.items():
            if name.startswith("tokenizer") and part is not None:
                found |= getattr(part, "tokenizer", part).get_added_vocab().keys()  # a processor has one in it
        return frozenset(found)

    def encode(self, given: dict[str, Any]) -> dict[str, Tensor]:
        """The embeddings, as call arguments, (pictures, ...), that the stock pipeline would make itself."""
        embeds = self._encode(given)
        encoded_with_it = "negative_prompt_embeds" in self.pattern.embeds
        if self.pattern.negative_apart and self.guidance(given).apart and not encoded_with_it:
            names = ("prompt", "prompt_2", "prompt_embeds", "pooled_prompt_embeds", MASK)
            told = {name: given.get(f"negative_{name}") for name in names}
            if told["prompt_embeds"] is None and not isinstance(told["prompt"], list):
                told["prompt"] = [told["prompt"] or ""] * arguments.prompt_count(given)
            negative = self._encode(given | told)
            embeds |= {f"negative_{name}": value for name, value in negative.items()}
        return embeds

    def encode_texts(self, given: dict[str, Any], texts: dict[str, list[str]]) -> dict[str, Tensor]:
        """Embeddings (texts, ...) of other texts (argument name -> texts) under a call's options; no negatives."""
        nothing: dict[str, Any] = dict.fromkeys((*arguments.TEXT_ARGUMENTS, *filter(None, self.pattern.embeds)))
        once: dict[str, Any] = {"num_images_per_prompt": 1}
        once |= {"guidance_scale": self.pattern.no_guidance} if "guidance_scale" in given else {}
        found = self._encode(given | nothing | once | texts)
        return {name: value for name, value in found.items() if not name.startswith("negative")}

    def padded(self, given: dict[str, Any], embeds: dict[str, Any]) -> dict[str, Any]:
        """A caller's embeddings, by argument name, as tensors of one length beside their mask; as they are where all
        texts of a family have one length."""
        return self._texts.inward(embeds, given.get("max_sequence_length"))

    def as_long(self, embeds: Tensor, length: int) -> Tensor:
        """Embeddings (texts, tokens, ...), or the mask beside them, padded; as they are where a family does not pad."""
        return embeds if self.pattern.texts == "even" else lengthened(embeds, length)

    def _encode(self, given: dict[str, Any]) -> dict[str, Tensor]:
        extra = given.get("cross_attention_kwargs") or given.get("joint_attention_kwargs") or {}
        options = given | {
            "device": self.pipe._execution_device,
            "do_classifier_free_guidance": self.guidance(given).scale > 1,
            "lora_scale": extra.get("scale"),
        }
        options = self._texts.outward({n: list(v) if isinstance(v, list) else v for n, v in options.items()})
        wanted = inspect.signature(self.pipe.encode_prompt).parameters
        if self.pattern.texts == "listed" and options["prompt"] is None:
            options["prompt"] = [""] * arguments.prompt_count(given)  # it counts them, beside embeddings too
        found = self.pipe.encode_prompt(**{name: options.get(name) for name in wanted})
        named = {name: value for name, value in zip(self.pattern.embeds, found) if name}
        named = {name: value for name, value in self.padded(given, named).items() if value is not None}
        if "num_images_per_prompt" in wanted:
            return named
        return {name: value.repeat_interleave(given["num_images_per_prompt"], 0) for name, value in named.items()}

    def reads(self, given: dict[str, Any], text: str) -> bool:
        """Whether some text encoder reads a text to its end."""
        named = (getattr(self.pipe, name, None) for name in ("tokenizer", "tokenizer_2", "tokenizer_3"))
        most = given.get("max_sequence_length") or math.inf
        around = self.pattern.around(self.pipe, given) if self.pattern.around else ""

        def tokens(tokenizer: Any, text: str) -> int:
            return len(tokenizer(text, truncation=False, verbose=False).input_ids) if text else 0

        return any(
            tokens(tokenizer, text) + tokens(tokenizer, around) <= min(tokenizer.model_max_length, most)
            for part in named
            if (tokenizer := getattr(part, "tokenizer", part)) is not None
        )

    # Latents to pixels

    def spatial(self, latents: Tensor, given: dict[str, Any]) -> Tensor:
        """The loop's latents as (N, C, h, w)."""
        if not self.pattern.packed:
            return latents
        factor = 2 * self.pipe.vae_scale_factor
        layout = Layout((given["height"] // factor, given["width"] // factor))
        return layout.spatial(latents)

    def packed(self, latents: Tensor) -> Tensor:
        """(N, C, h, w) latents in the form in which the stock pipeline returns them."""
        return (
            Layout((latents.shape[-2] // 2, latents.shape[-1] // 2)).packed(latents) if self.pattern.packed else latents
        )

    def finished(self, latents: Tensor) -> Tensor:
        """(N, C, h, w) latents of the midst of the loop, in the form in which it returns its last."""
        return without_batch_norm(self.pipe.vae, latents) if self.pattern.finished else latents

    @property
    def decoder_draws(self) -> bool:
        """Whether decoding may draw noise; an `AutoencoderKL` takes a generator and leaves it."""
        vae = getattr(self.pipe.vae, "_orig_mod", self.pipe.vae)
        return not isinstance(vae, AutoencoderKL)

    def decode(self, latents: Tensor, generator: Generators) -> Tensor:
        """(N, C, h, w) latents to (N, 3, H, W) in [-1, 1], with the stock pipeline's own operations."""
        pixels = decode(self.pipe.vae, latents, self.pattern.decoding, generator)
        watermark = getattr(self.pipe, "watermark", None)
        return watermark.apply_watermark(pixels) if watermark is not None else pixels

    def images(self, pixels: Tensor, kind: str = "pil", denormalize: list[bool] | None = None) -> Any:
        """(N, C, H, W) in the asked output type; in [-1, 1], or where `denormalize` is False in [0, 1]."""
        denormalize = [True] * len(pixels) if denormalize is None else denormalize
        if self.cut_to is not None:
            height, width = self.cut_to
            pixels = self.pipe.image_processor.resize_and_crop_tensor(pixels, width, height)
        return self.pipe.image_processor.postprocess(pixels, output_type=kind, do_denormalize=denormalize)

    def flagged(self, pixels: Tensor) -> tuple[Tensor, list[bool] | None]:
        """What the checkpoint's own safety checker leaves of the pixels, and its verdicts, if it has one."""
        if not hasattr(self.pipe, "run_safety_checker"):
            return pixels, None
        return self.pipe.run_safety_checker(pixels, self.pipe._execution_device, self.pipe.dtype)


def _learns_variance(model: Any) -> bool:
    """Whether predictions have twice the channels: the variance after them, which the loop drops."""
    return model.config.get("out_channels") == 2 * model.config.get("in_channels", 0)


def _without_variance(model: Any) -> StandIn:
    return StandIn(model, lambda *args, **kwargs: (model(*args, **kwargs)[0].chunk(2, 1)[0],))


def _with_variance(model: Any) -> StandIn:
    def predict(*args: Any, **kwargs: Any) -> tuple[Tensor]:
        prediction = model(*args, **kwargs)[0]
        return (torch.cat([prediction, torch.zeros_like(prediction)], 1),)

    return StandIn(model, predict)
