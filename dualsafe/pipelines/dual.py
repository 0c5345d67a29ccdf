"""What every family shares: one call from a checked request to safe pictures, around the stock pipeline's own loop."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor

from ..bundled import PICTO
from ..conditions import Rewriter, Stream
from ..conditions.space import Encoded
from ..config import MethodSettings
from ..judges import Judge
from ..plan import Guidance
from ..policy import Policy, resolve
from . import arguments
from .call import Call
from .checkpoint import load
from .closed_loop import draw_all
from .output import DualLatentOutput
from .pictures import finish
from .request import Request, checked
from .turns import its_turn

if TYPE_CHECKING:
    from typing_extensions import Self


class DualLatentMixin:
    """Two latent trajectories from one noise (arXiv 2411.13982), put before a diffusers pipeline class.

    A family is `class DualLatentXPipeline(DualLatentMixin, XPipeline)` and says below where it differs. It loads,
    saves, moves and offloads as the stock class does, from the same checkpoints.

    A `callback_on_step_end` sees the latents of both branches stacked, (2N, C, h, w): the N originals, then the N safe
    ones; and embeddings stacked alike. Where every sample is benign it sees the stock (N, C, h, w).

    Attributes:
        denoiser_name: the component that denoises.
        timestep_scale: factor from the timestep that the denoiser is given to the scheduler's.
        embeds: call arguments that the stock `encode_prompt` returns, in its order; None for what is no argument.
        upcasts_vae: whether the stock pipeline decodes in float32 where the autoencoder asks for it.
        refused: arguments of the stock call that the method can't honour, with the reason.
    """

    denoiser_name: ClassVar[str] = "unet"
    timestep_scale: ClassVar[float] = 1.0
    embeds: ClassVar[tuple[str | None, ...]] = ("prompt_embeds", "negative_prompt_embeds")
    upcasts_vae: ClassVar[bool] = False
    refused: ClassVar[dict[str, str]] = {}

    if TYPE_CHECKING:  # what the stock class brings
        _interrupt: bool

        def __getattr__(self, name: str) -> Any: ...

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Self:
        """Loads a checkpoint in the diffusers layout, from safetensors only.

        Args:
            pretrained_model_name_or_path: a folder, or a hub id; `dualsafe.PICTO` is the bundled checkpoint.
            **kwargs: as `DiffusionPipeline.from_pretrained` takes (`dtype`, float32 by default, ...).

        Raises:
            CheckpointError: missing, truncated, or pickled.
        """
        if not {"torch_dtype", "quantization_config"} & kwargs.keys():
            # a text encoder stored in half precision would stay so, beside a denoiser in float32
            kwargs.setdefault("dtype", torch.float32)
        return load(super().from_pretrained, pretrained_model_name_or_path, **kwargs)  # type: ignore[misc]

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **kwargs: Any) -> Self:
        """The dual pipeline on another pipeline's components, shared and kept in their dtype."""
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", pipeline.dtype)
        return super().from_pipe(pipeline, **kwargs)  # type: ignore[misc]

    @torch.no_grad()
    def __call__(
        self,
        *args: Any,
        safety_level: float | str | list[float | str] = "max",
        safe_prompt: str | list[str | None] | None = None,
        safe_prompt_embeds: Tensor | None = None,
        safe_pooled_prompt_embeds: Tensor | None = None,
        policy: str | os.PathLike | Policy | None = None,
        return_pair: bool = False,
        settings: MethodSettings | None = None,
        sources: str | Sequence[str] = "rewrite",
        rewriter: Rewriter | None = None,
        rewriter_timeout: float = 10.0,
        preview: Judge | Callable | None = None,
        verify: Judge | Callable | None = None,
        max_tries: int = 3,
        mask: Tensor | Image.Image | list | Literal["auto"] | None = "auto",
        **kwargs: Any,
    ) -> DualLatentOutput | tuple:
        """Generates safe pictures; all other arguments, positional ones too, are those of the stock pipeline.

        Args:
            safety_level: in [0, 1], a name from `dualsafe.PRESETS`, or one for each prompt. At 0 the picture is the
                stock picture, to the bit, at the stock cost; at 1 the safe branch has all the weight; `settings.dial`
                says which weight the levels between stand for.
            safe_prompt: what the safe branch is told; one for each prompt, None where the policy is to find it.
            safe_prompt_embeds: the same as embeddings, (prompts, tokens, width).
            safe_pooled_prompt_embeds: their pooled form, (prompts, width), for the families that have one.
            policy: a shipped policy's name, a YAML file or a `Policy`; by default "picto" for the bundled checkpoint
                and "i2p" for any other. A category's own level overrides the dial.
            return_pair: also return the original, unsafe pictures, marked as such.
            settings: phases and mask of the method.
            sources: where the safe condition of a prompt comes from in which the policy finds something: one or several
                of "rewrite" (its terms replaced or removed), "shift" (of the embedding) and "negative" (the policy's
                concepts as the safe branch's negative prompt).
            rewriter: a function from such a prompt to a safe one, a language model say; what the policy still finds in
                its answer is taken out. Where it fails or takes over `rewriter_timeout` seconds, `sources` step in.
            preview: a judge (see `dualsafe.judges`), or a function from PIL pictures to booleans, that is shown what
                prompts with innocent words are about to become, at progress `settings.preview`. What it flags starts
                over from its own noise with a safe branch aimed at what was seen; the rest stays stock, to the bit.
            verify: a judge of the finished pictures. What it flags is drawn again, more strictly, and at last withheld.
            max_tries: how often, for `verify`.
            mask: where a picture may change, 1 for yes: "auto" finds it (`settings.mask_floor`), None is everywhere; or
                a tensor (H, W), (prompts, H, W) or (prompts, 1, H, W), a PIL picture, or a list of those.
            *args, **kwargs: the stock call's. With a scheduler that draws noise in its steps, several pictures need a
                list of generators. `output_type` is "pil", "np", "pt" or "latent".

        Returns:
            `DualLatentOutput`, or with `return_dict=False` its five fields as a tuple.

        Raises:
            ValueError: an argument that can't be; the message names it, its value and what is accepted.
            PolicyViolation: a prompt asks for what is never generated, at any level.
            NonFiniteLatentsError: denoising gave NaN or infinite latents; no picture is returned.
            RuntimeError: called from inside its own call. A call from another thread waits for its turn.
        """
        stock_call = super().__call__  # type: ignore[misc]
        given = arguments.stock_arguments(stock_call, args, kwargs)
        arguments.check_refused(given, self.refused, stock_call)
        request = checked(
            given,
            self._policy(policy),
            settings or MethodSettings(),
            safety_level=safety_level,
            safe_prompt=safe_prompt,
            safe_prompt_embeds=safe_prompt_embeds,
            safe_pooled_prompt_embeds=safe_pooled_prompt_embeds,
            return_pair=return_pair,
            sources=sources,
            rewriter=rewriter,
            rewriter_timeout=rewriter_timeout,
            preview=preview,
            verify=verify,
            max_tries=max_tries,
            mask=mask,
        )
        self._check(given, request)
        with its_turn(self):
            call = Call(self, stock_call, given, request)
            draw_all(call)
            output = finish(call, given.get("generator"))
        return output if given["return_dict"] else output.to_tuple()

    def _policy(self, policy: str | os.PathLike | Policy | None) -> Policy:
        if policy is None:
            policy = "picto" if str(self.config.get("_name_or_path")) == PICTO else "i2p"
        return resolve(policy)

    def _check(self, given: dict[str, Any], request: Request) -> None:
        """Everything that the stock pipeline would refuse, before anything is computed, and the picture's size."""
        if "height" in given:
            given["height"], given["width"] = self._size(given["height"], given["width"])
        wanted = inspect.signature(self.check_inputs).parameters
        self.check_inputs(**{name: given.get(name) for name in wanted})
        if "prompt_2" not in given:
            arguments.check_clip_skip(given.get("clip_skip"), self.text_encoder)
        arguments.check_generators(given.get("generator"), len(request.samples))
        if given.get("latents") is not None:
            arguments.check_latents(given["latents"], self._latent_shape(given, len(request.samples)))

    def _size(self, height: int | None, width: int | None) -> tuple[int, int]:
        """Height and width in pixels; the model's own where neither is given.

        Raises:
            ValueError: one of the two alone, which some stock pipelines would silently drop.
        """
        if (height is None) != (width is None):
            raise ValueError(f"height={height!r} and width={width!r}: give both or neither")
        if height is not None and width is not None:
            arguments.check_positive("height", height)
            arguments.check_positive("width", width)
            return height, width
        side = getattr(self, "default_sample_size", None) or self.unet.config.sample_size
        rows, columns = (side, side) if isinstance(side, int) else side
        return rows * self.vae_scale_factor, columns * self.vae_scale_factor

    def _latent_shape(self, given: dict[str, Any], samples: int) -> tuple[int, ...]:
        """Shape of the `latents` that the stock call takes."""
        factor = self.vae_scale_factor
        return samples, self.vae.config.latent_channels, given["height"] // factor, given["width"] // factor

    def _guidance(self, given: dict[str, Any]) -> Guidance:
        """How the stock loop forms the guided prediction."""
        distilled = getattr(self, self.denoiser_name).config.get("time_cond_proj_dim") is not None
        scale = 1.0 if distilled else given["guidance_scale"]
        return Guidance(scale, given.get("guidance_rescale", 0.0))

    def _encode(self, given: dict[str, Any], device: torch.device) -> dict[str, Tensor]:
        """The embeddings, as call arguments, (samples, ...), that the stock pipeline would make itself."""
        extra = given.get("cross_attention_kwargs") or given.get("joint_attention_kwargs") or {}
        options = given | {
            "device": device,
            "do_classifier_free_guidance": self._guidance(given).scale > 1,
            "lora_scale": extra.get("scale"),
        }
        wanted = inspect.signature(self.encode_prompt).parameters
        found = self.encode_prompt(**{name: options.get(name) for name in wanted})
        return {name: value for name, value in zip(self.embeds, found) if name and value is not None}

    def _encode_safe(self, given: dict[str, Any], texts: dict[str, list[str]]) -> dict[str, Tensor]:
        """Embeddings of the safe branch's own texts, without a negative."""
        nothing = dict.fromkeys((*arguments.TEXT_ARGUMENTS, *filter(None, self.embeds)))
        unguided = {"guidance_scale": 1.0} if "guidance_scale" in given else {}
        found = self._encode(given | nothing | unguided | texts, self._execution_device)
        return {name: value for name, value in found.items() if not name.startswith("negative")}

    def _streams(self, given: dict[str, Any]) -> list[Stream]:
        """The parts of `prompt_embeds` that each text encoder makes; one, where all of them share their tokens."""
        return [self._stream(given, self.tokenizer, slice(None))]

    def sampling_defaults(self) -> dict[str, Any]:
        """The stock call's own `num_inference_steps` and `guidance_scale`."""
        given = arguments.stock_arguments(super().__call__, (), {})  # type: ignore[misc]
        return {name: given[name] for name in ("num_inference_steps", "guidance_scale") if name in given}

    @torch.no_grad()
    def encode_texts(self, texts: list[str]) -> dict[str, Tensor]:
        """Embeddings of texts as arguments of the stock call, (texts, ...), under its defaults, without a negative."""
        given = arguments.stock_arguments(super().__call__, (), {})  # type: ignore[misc]
        return self._encode_safe(given, {"prompt": texts})

    def _stream(self, given: dict[str, Any], tokenizer: Any, span: slice) -> Stream:
        def count(text: str) -> int:
            return len(tokenizer(text, truncation=True, max_length=tokenizer.model_max_length).input_ids)

        @cache  # a policy's terms are asked for by every prompt of a call; between calls the encoder may change
        def encoded(texts: tuple[str, ...]) -> Encoded:
            tokens = self._encode_safe(given | {"num_images_per_prompt": 1}, {"prompt": list(texts)})["prompt_embeds"]
            part = tokens[:, span]  # a family may take fewer tokens than its tokenizer
            return Encoded(part, [min(count(text), part.shape[1]) for text in texts])

        return Stream(lambda texts: encoded(tuple(texts)), count, span)

    def _spatial(self, latents: Tensor, given: dict[str, Any]) -> Tensor:
        """The loop's latents as (N, C, h, w)."""
        return latents

    def _packed(self, latents: Tensor) -> Tensor:
        """(N, C, h, w) latents in the form in which the stock pipeline returns them."""
        return latents
