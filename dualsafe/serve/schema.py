"""Bodies of requests and answers: OpenAI's images API, and what is ours beside it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ImageRequest(BaseModel):
    """What to draw. Arguments left out, or null, are the service's own."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    prompt: str = Field(min_length=1, description="What to draw.")
    model: str | None = Field(None, description="The name in /v1/models; another one is refused.")
    n: int | None = Field(None, ge=1, description="How many pictures, 1 by default; the k-th from seed + k.")
    size: str | None = Field(None, description="WIDTHxHEIGHT or auto.")
    response_format: Literal["b64_json", "url"] | None = Field(None, description="b64_json; url is refused.")
    user: str | None = Field(None, description="Accepted and not used.")
    quality: Literal["auto", "standard"] | None = None
    background: Literal["auto", "opaque"] | None = None
    moderation: Literal["auto"] | None = None
    output_format: Literal["png"] | None = None
    stream: Literal[False] | None = None
    safety_level: float | str | None = Field(
        None, description="In [0, 1], or off, low, medium, high, max; under the operator's minimum it is refused."
    )
    policy: str | None = Field(None, description="One of the policies in /v1/models.")
    return_pair: bool | None = Field(None, description="Also the unsafe original, where the operator allows it.")
    seed: int | None = Field(None, ge=0, le=2**53 - 1, description="Of the first picture; drawn at random if missing.")
    steps: int | None = Field(None, ge=1, description="Denoising steps.")
    guidance_scale: float | None = Field(None, ge=0, allow_inf_nan=False, description="Classifier-free guidance.")


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
    max_steps: int
    max_guidance_scale: float
    max_prompt: int


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
