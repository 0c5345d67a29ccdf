"""What every family shares: one call from a checked request to safe pictures, around the stock pipeline's own loop."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from diffusers import DiffusionPipeline
from PIL import Image
from torch import Tensor, nn

from ..bundled import PICTO
from ..bundled import found as bundled
from ..calibration import calibrated
from ..conditions import Rewriter, decide
from ..config import MethodSettings
from ..errors import CheckpointError
from ..judges import Judge
from ..policy import Policy, resolve
from . import arguments
from .call import Call
from .checkpoint import check_components, kind_of_file, left_out, load, load_config, load_file
from .closed_loop import draw_all
from .judging import judges_of
from .output import DualLatentOutput
from .pattern import CallPattern
from .pictures import finish
from .request import Request
from .stock import Stock
from .texts import EMBEDS, MASK
from .turns import its_turn

if TYPE_CHECKING:
    from typing_extensions import Self

_AS_THEY_ARE: Any = object()
"""What diffusers' `from_pipe` is told as a dtype; by default it casts the modules that it shares to float32."""


class DualLatentMixin:
    """Two latent trajectories from one noise (arXiv 2411.13982), put before a diffusers pipeline class.

    A family is `class DualLatentXPipeline(DualLatentMixin, XPipeline)` with a pattern of its calls. It loads, saves,
    moves and offloads as the stock class does, from the same checkpoints.

    A `callback_on_step_end` sees the latents of both branches stacked, (2N, C, h, w): the N originals, then the N safe
    ones; and embeddings stacked alike. Where every sample is benign, or words say nothing so far, it sees the stock
    (N, C, h, w); a second pass over what watch or judge flagged is a call of its own.

    Attributes:
        pattern: how the family calls its denoiser.
        families: every class with a pattern of its own.
    """

    pattern: ClassVar[CallPattern]
    families: ClassVar[list[type[DualLatentMixin]]] = []

    if TYPE_CHECKING:  # what the stock class brings

        def __getattr__(self, name: str) -> Any: ...

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "pattern" in cls.__dict__:
            DualLatentMixin.families.append(cls)

    @classmethod
    def stock_class(cls) -> type[DiffusionPipeline]:
        """The diffusers class that this one makes dual."""
        return next(c for c in cls.__mro__ if issubclass(c, DiffusionPipeline) and not issubclass(c, DualLatentMixin))

    @staticmethod
    def by_name(class_name: str) -> type[DualLatentMixin] | None:
        """The dual class of that name, or on the stock class of that name."""
        for family in DualLatentMixin.families:
            if class_name in (family.__name__, family.stock_class().__name__):
                return family
        return None

    @staticmethod
    def by_kind(kind: str) -> type[DualLatentMixin] | None:
        """The dual class for checkpoints in one file that diffusers calls `kind`."""
        return next((family for family in DualLatentMixin.families if kind in family.pattern.single_files), None)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> Self:
        """Loads a checkpoint in the diffusers layout, from safetensors only.

        Args:
            pretrained_model_name_or_path: a folder, or a hub id; "dualsafe/picto" is the bundled checkpoint.
            **kwargs: as `DiffusionPipeline.from_pretrained` takes (`dtype`, float32 by default, `cache_dir`, ...).

        Raises:
            CheckpointError: missing, truncated, pickled, of another family, or with a pipeline of its own.
        """
        source = bundled(pretrained_model_name_or_path)
        if (custom := kwargs.get("custom_pipeline")) is not None:
            raise CheckpointError(f"custom_pipeline={custom!r} is another pipeline, which is not dual: leave it out")
        config = load_config(source, kwargs)
        cls._check_family(cls.by_name(str(config["_class_name"])), f"{source} is a {config['_class_name']}")
        kwargs = left_out(config) | kwargs
        check_components(config, cls.stock_class(), source, kwargs)
        if not {"torch_dtype", "quantization_config"} & kwargs.keys():
            # a text encoder stored in half precision would stay so, beside a denoiser in float32
            kwargs.setdefault("dtype", torch.float32)
        return cls._is_dual(load(super().from_pretrained, source, **kwargs), source)  # type: ignore[misc]

    @classmethod
    def _check_family(cls, found: type[DualLatentMixin] | None, made: str) -> None:
        """
        Raises:
            CheckpointError: the class `found` for a checkpoint, which is `made`, is of another family.
        """
        if found is not None and found.pattern.family != cls.pattern.family:
            fitting = " or ".join(c.__name__ for c in cls.families if c.pattern.family == found.pattern.family)
            raise CheckpointError(f"{made}, of {found.pattern.family}: use {fitting}")

    @classmethod
    def from_single_file(cls, pretrained_model_link_or_path: str | os.PathLike, **kwargs: Any) -> Self:
        """Loads a checkpoint in one file, from safetensors only; arguments as the stock class takes.

        diffusers fetches the configuration from the hub, unless `config` names a folder with it.

        Raises:
            CheckpointError: missing, truncated, pickled, of another family, or without a component.
        """
        if "://" not in str(pretrained_model_link_or_path):
            kind = kind_of_file(pretrained_model_link_or_path)
            cls._check_family(cls.by_kind(kind), f"{pretrained_model_link_or_path} holds weights of {kind!r}")
        if "torch_dtype" not in kwargs:
            kwargs.setdefault("dtype", torch.float32)
        loader = super().from_single_file  # type: ignore[misc]
        return cls._is_dual(load_file(loader, pretrained_model_link_or_path, **kwargs), pretrained_model_link_or_path)

    @classmethod
    def _is_dual(cls, loaded: Any, source: str | os.PathLike) -> Self:
        if not isinstance(loaded, cls):
            raise CheckpointError(f"{source} loads a {type(loaded).__name__} of its own, which is not dual")
        return loaded

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **kwargs: Any) -> Self:
        """The dual pipeline on another pipeline's components, shared as they are.

        The scheduler, which keeps the state of a run, is a copy: so both can be called at the same time.

        Raises:
            ValueError: a `dtype`, to which the other pipeline's modules would be cast too.
            RuntimeError: inside a call of the other pipeline.
        """
        dtype = kwargs.pop("dtype", kwargs.pop("torch_dtype", None))
        modules = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
        if dtype is not None and any(getattr(part, "dtype", dtype) != dtype for part in modules):
            raise ValueError(
                f"dtype={dtype}: from_pipe shares the other pipeline's modules, and would cast them there: cast that "
                "pipeline itself, or load another"
            )
        if (custom := kwargs.get("custom_pipeline")) is not None:
            raise ValueError(f"custom_pipeline={custom!r} is another pipeline, which is not dual: leave it out")
        with its_turn(pipeline):  # in the midst of a call stand-ins are in the places of components
            kwargs = {"scheduler": deepcopy(pipeline.scheduler), "vae": pipeline.vae} | kwargs  # a VAE of any class
            return super().from_pipe(pipeline, dtype=_AS_THEY_ARE, **kwargs)  # type: ignore[misc]

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """As the stock class's."""
        return self if kwargs.get("dtype") is _AS_THEY_ARE else super().to(*args, **kwargs)  # type: ignore[misc]

    def to_json_string(self) -> str:
        """The config as it is saved: of the stock class, so that diffusers' own loaders open it."""
        config = json.loads(super().to_json_string())  # type: ignore[misc]
        config["_class_name"] = self.stock_class().__name__
        return json.dumps(config, indent=2, sort_keys=True) + "\n"

    @torch.no_grad()
    def __call__(
        self,
        *args: Any,
        safety_level: float | str | list[float | str] = "max",
        safe_prompt: str | list[str | None] | None = None,
        safe_prompt_embeds: Tensor | None = None,
        safe_pooled_prompt_embeds: Tensor | None = None,
        safe_prompt_attention_mask: Tensor | None = None,
        policy: str | os.PathLike | Policy | None = None,
        policy_text: str | list[str] | None = None,
        encode_text: Callable | None = None,
        return_pair: bool = False,
        settings: MethodSettings | None = None,
        rewriter: Rewriter | None = None,
        rewriter_timeout: float = 10.0,
        scope: Literal["all", "words"] = "all",
        preview: Judge | Callable | Literal["auto"] | None = "auto",
        verify: Judge | Callable | Literal["auto"] | None = None,
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
            safe_prompt_attention_mask: which of their tokens are read, (prompts, tokens), where a family has it.
            policy: a shipped policy's name, a YAML file or a `Policy`; by default "picto" for the bundled checkpoint
                and "i2p" for any other. A category's own level overrides the dial.
            policy_text: the text behind `prompt_embeds`, one for each prompt: what the policy reads and rewrites.
            encode_text: a function from a list of safe texts to their embeddings (texts, tokens, width), or a pair of
                them and their pooled form, such as a compel; by default the pipeline's own text encoders.
            return_pair: also return the original, unsafe pictures, marked as such.
            settings: phases, mask and thresholds of the method; by default those that `dualsafe calibrate` has left in
                the checkpoint's folder, else the library's own.
            rewriter: a function from a prompt in which the policy finds something to a safe one, a language model say;
                what the policy still finds in its answer is taken out. Where it fails or takes over `rewriter_timeout`
                seconds, the policy's own rewriting steps in.
            scope: "all" acts on every prompt: where no word says anything, `preview` and the watch over the model's own
                predictions do (`settings.watch`). What they flag is drawn again; where the watch sees it still, once
                more, and at last it is withheld, at level 1. "words" acts on the policy's words alone.
            preview: a judge (see `dualsafe.judges`), or a function from PIL pictures to booleans, that is shown what
                prompts with innocent words are about to become, at progress `settings.preview`. What it flags starts
                over from its own noise with a safe branch aimed at what was seen; the rest stays stock, to the bit.
                "auto" is the judge that comes with the checkpoint, if one does: picto's guard, or a safety checker. It
                looks beside the watch; one of all categories (see `covers` of `Judge`) looks alone in runs of so few
                steps that the watch has noise alone to go by. `settings.watch=None` leaves the watch out.
            verify: a judge of the finished pictures, "auto" the checkpoint's own. What it flags is drawn again, more
                strictly, and at last withheld. A safety checker of the checkpoint always verifies.
            max_tries: how often; 0 also leaves a safe picture at level 1 that came out as its original, which is drawn
                again from the first step on.
            mask: where a picture may change, 1 for yes: "auto" finds it (`settings.mask_floor`), None is everywhere; or
                a tensor (H, W), (prompts, H, W) or (prompts, 1, H, W), a PIL picture, or a list of those.
            *args, **kwargs: the stock call's. `output_type` is "pil", "np", "pt" or "latent".

        Returns:
            `DualLatentOutput`, or with `return_dict=False` its five fields as a tuple.

        Raises:
            ValueError: an argument that cannot be; the message names it, its value and what is accepted.
            PolicyViolation: a prompt asks for what is never generated, at any level.
            NonFiniteLatentsError: NaN or infinite latents or pixels; no picture is returned.
            RuntimeError: called from inside its own call. A call from another thread waits for its turn.
        """
        stock = self._stock()
        given = stock.arguments(args, kwargs)
        count = arguments.prompt_count(given)
        levels = arguments.levels_per_prompt(safety_level, count)
        safe_prompts = arguments.safe_prompts_per_prompt(safe_prompt, count)
        told = stock.padded(given, {EMBEDS: safe_prompt_embeds, MASK: safe_prompt_attention_mask})
        safe_embeds = arguments.safe_embeds(told[EMBEDS], safe_pooled_prompt_embeds, told[MASK], safe_prompt, count)
        texts = arguments.prompts_by_encoder(given, count)
        texts |= arguments.policy_texts(policy_text, encode_text, given, count)
        arguments.check_output_type(given["output_type"])
        arguments.check_rewriter(rewriter, rewriter_timeout)
        own, rules = self._policy(policy), settings or calibrated(str(self.config.get("_name_or_path")))
        judges = judges_of(self, own, scope, preview, verify, rules)
        if mask is None:
            if rules.composite:
                raise ValueError(
                    "mask=None leaves settings.composite=True nothing to composite by: give a mask or 'auto'"
                )
            rules = replace(rules, mask_floor=None)
        stock.check(given, count)
        request = Request(
            given=given,
            texts=texts,
            decisions=decide(
                texts,
                levels,
                safe_prompts,
                bool(safe_embeds),
                own,
                rewriter,
                rewriter_timeout,
                stock.added_tokens,
            ),
            policy=own,
            settings=rules,
            safe_embeds=safe_embeds,
            encode_text=encode_text,
            mask=arguments.masks_per_prompt(mask, count),
            return_pair=return_pair,
            judges=judges,
            max_tries=arguments.whole("max_tries", max_tries, least=0),
        )
        with its_turn(self):
            call = Call(stock, request)
            draw_all(call)
            output = finish(call)
        return output if given["return_dict"] else output.to_tuple()

    @property
    def denoiser_name(self) -> str:
        """The component that denoises."""
        return self.pattern.denoiser

    def sampling_defaults(self) -> dict[str, Any]:
        """The stock call's own `num_inference_steps` and `guidance_scale`."""
        given = self._stock().arguments((), {})
        return {name: given[name] for name in ("num_inference_steps", "guidance_scale") if name in given}

    def takes(self, argument: str) -> bool:
        """Whether the stock call has an argument of this name."""
        return argument in self._stock().arguments((), {})

    def image_size(self, height: int | None = None, width: int | None = None) -> tuple[int, int]:
        """Height and width of a call's pictures in pixels: the model's own where neither is given.

        Raises:
            ValueError: one of the two alone.
        """
        return self._stock().size(height, width)

    @torch.no_grad()
    def encode_texts(self, texts: list[str], **call: Any) -> dict[str, Tensor]:
        """Embeddings of texts as arguments of the stock call, (texts, ...), without a negative.

        Args:
            **call: arguments of the stock call, such as `max_sequence_length`; its defaults otherwise.
        """
        stock = self._stock()
        return stock.encode_texts(stock.arguments((), call), {"prompt": texts})

    def _stock(self) -> Stock:
        return Stock(self, super().__call__, self.pattern)  # type: ignore[misc]

    def _policy(self, policy: str | os.PathLike | Policy | None) -> Policy:
        if policy is None:
            policy = "picto" if str(self.config.get("_name_or_path")) == PICTO else "i2p"
        return resolve(policy)
