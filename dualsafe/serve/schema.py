"""Bodies of requests and answers: OpenAI's images API, and what is ours beside it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..checks import MAX_SEED

GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
"""Paths."""


class Asked(BaseModel):
    """What both kinds of request may ask for. Arguments left out, or null, are the service's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    prompt: str = Field(min_length=1, description="What to draw.")
    model: str | None = Field(None, description="The name in /v1/models; another one is refused.")
    n: int | None = Field(None, ge=1, description="How many pictures, 1 by default; the k-th from seed + k.")
    size: str | None = Field(None, description="WIDTHxHEIGHT or auto.")
    response_format: Literal["b64_json", "url"] | None = Field(None, description="b64_json; url is refused.")
    user: str | None = Field(None, description="Accepted and not used.")
    safety_identifier: str | None = Field(None, description="Accepted and not used.")
    quality: Literal["auto", "standard", "low", "medium", "high", "xhigh", "max", "hd"] | None = Field(
        None, description="Ignored: see steps."
    )
    complexity: Literal["low", "medium", "high"] | None = Field(None, description="Ignored.")
    background: Literal["auto", "opaque"] | None = Field(None, description="Pictures are opaque.")
    output_format: Literal["png"] | None = Field(None, description="Pictures are PNG, without loss.")
    output_compression: int | None = Field(None, ge=0, le=100, description="Ignored: PNG has no loss.")
    partial_images: Literal[0] | None = Field(None, description="None are sent.")
    stream: Literal[False] | None = Field(None, description="Answers are whole.")
    safety_level: float | str | None = Field(
        None, description="In [0, 1], or off, low, medium, high, max; under the operator's minimum it is refused."
    )
    policy: str | None = Field(None, description="One of the policies in /v1/models.")
    return_pair: bool | None = Field(None, description="Also the unsafe original, where the operator allows it.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Of the first picture; drawn at random if missing.")
    steps: int | None = Field(None, ge=1, description="Denoising steps.")
    guidance_scale: float | None = Field(None, ge=0, allow_inf_nan=False, description="Classifier-free guidance.")

    @property
    def ignored(self) -> list[str]:
        """Arguments that are given, and to which nothing here corresponds."""
        without = {"quality": ("auto", "standard"), "moderation": ("auto",), "output_compression": (100,)}
        names = (*without, "complexity", "style", "input_fidelity")
        return [name for name in names if getattr(self, name, None) not in (None, *without.get(name, ()))]


class ImageRequest(Asked):
    """A picture of a prompt."""

    moderation: Literal["auto", "low"] | None = Field(None, description="Ignored: see safety_level.")
    style: Literal["vivid", "natural"] | None = Field(None, description="Ignored.")


class EditRequest(Asked):
    """A picture drawn over a picture; `image` and `mask` are files beside it."""

    input_fidelity: Literal["high", "low"] | None = Field(None, description="Ignored: see strength.")
    strength: float | None = Field(None, gt=0, le=1, description="How much is drawn anew; 0.8, with a mask 1.")

    @field_validator("stream", "partial_images", mode="before")
    @classmethod
    def _of_a_form(cls, value: Any) -> Any:
        return {"false": False, "true": True, "0": 0}.get(value, value) if isinstance(value, str) else value


class Picture(BaseModel):
    """One picture of an answer."""

    b64_json: str | None = Field(description="The PNG; null where the picture is withheld.")
    revised_prompt: str | None = Field(description="What the safe branch was told; null where nothing was changed.")
    withheld: bool = Field(description="Whether a judge found the picture unsafe to the end.")
    unsafe_b64_json: str | None = Field(None, description="The unsafe original, if return_pair asked for it.")
    seed: int
    decision: str = Field(description="off, benign (the stock picture) or dual.")
    safety_level: float
    policy: str = Field(description="Id and hash of the policy that decided.")
    categories: tuple[str, ...] = Field(description="What the policy found in the prompt, or a judge in the picture.")


class ImagesResponse(BaseModel):
    created: int = Field(description="Unix time.")
    data: list[Picture]


class Limits(BaseModel):
    """What a request may ask for here."""

    sizes: tuple[str, ...]
    policies: tuple[str, ...]
    min_safety_level: float
    default_safety_level: float
    return_pair: bool
    max_n: int
    min_steps: int
    max_steps: int
    max_guidance_scale: float
    max_prompt: int
    edits: tuple[str, ...] = Field(description="What /v1/images/edits does here: image-to-image, inpainting.")


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "dualsafe"
    limits: Limits


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class Health(BaseModel):
    status: Literal["ok", "stopping"]
    waiting: int = Field(description="Pictures in the queue.")


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    error: ErrorDetail


ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorBody}, "5XX": {"model": ErrorBody}}
