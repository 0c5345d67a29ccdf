"""`POST /sdapi/v1/txt2img`, as clients of A1111's and Forge's API send it: what they ask for in our own terms.

The safety level stands beside the other arguments, or where their extensions look for it:
`"alwayson_scripts": {"dualsafe": {"args": [{"safety_level": 0.8, "policy": "i2p"}]}}`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .admit import Admission
from .draw import Kind, Order
from .errors import ApiError, not_valid, shown
from .schema import ImageRequest, ImagesResponse

TXT2IMG = "/sdapi/v1/txt2img"
SCRIPT = "dualsafe"
OURS = ("safety_level", "policy", "return_pair")
_NOTHING: tuple[object, ...] = (None, "", False, 0, -1, [], {})
_NOT_OF_THE_PICTURE = {
    "send_images", "save_images", "do_not_save_samples", "do_not_save_grid", "override_settings_restore_afterwards",
    "force_task_id",
}  # fmt: skip


class Txt2Img(BaseModel):
    """The arguments that are honoured; others are accepted, and the answer names those that ask for something."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    prompt: str = Field(description="What to draw.")
    seed: int | None = Field(None, ge=-1, description="Of the first picture; -1 for any.")
    steps: int | None = Field(None, ge=1, description="Denoising steps.")
    cfg_scale: float | None = Field(None, ge=0, allow_inf_nan=False, description="Classifier-free guidance.")
    width: int | None = Field(None, ge=1)
    height: int | None = Field(None, ge=1)
    batch_size: int | None = Field(None, ge=1)
    n_iter: int | None = Field(None, ge=1, description="Times `batch_size` pictures.")
    alwayson_scripts: dict[str, Any] | None = None
    safety_level: float | str | None = Field(None, description="In [0, 1], or off, low, medium, high, max.")
    policy: str | None = Field(None, description="One of the policies in /v1/models.")
    return_pair: bool | None = Field(None, description="Also the unsafe originals, after the safe pictures.")

    @property
    def ignored(self) -> list[str]:
        """Arguments that ask for something to which nothing here corresponds."""
        others = {name: value for name, value in (self.model_extra or {}).items() if name not in _NOT_OF_THE_PICTURE}
        scripts = [f"alwayson_scripts.{name}" for name in self.alwayson_scripts or {} if name != SCRIPT]
        return [name for name, value in others.items() if value not in _NOTHING] + scripts

    def as_ours(self) -> ImageRequest:
        """The same in the terms of `/v1/images/generations`.

        Raises:
            ApiError: the script's arguments are of another form, or one of width and height is missing.
            ValidationError: an argument that cannot be.
        """
        if (self.width is None) != (self.height is None):
            message = f"width={self.width!r} and height={self.height!r}: give both or neither"
            raise ApiError(400, message, "invalid_value", "width")
        told = {name: value for name in OURS if (value := getattr(self, name)) is not None} | self._of_script()
        return ImageRequest(
            prompt=self.prompt,
            n=(self.batch_size or 1) * (self.n_iter or 1),
            size=None if self.width is None else f"{self.width}x{self.height}",
            seed=None if self.seed == -1 else self.seed,
            steps=self.steps,
            guidance_scale=self.cfg_scale,
            **told,
        )

    def _of_script(self) -> dict[str, Any]:
        script = (self.alwayson_scripts or {}).get(SCRIPT, {"args": []})
        args = script.get("args") if isinstance(script, dict) else None
        told = args[0] if isinstance(args, list) and len(args) == 1 else {}
        told = told if isinstance(told, dict) else {"safety_level": told}
        if not isinstance(args, list) or len(args) > 1 or not set(told) <= set(OURS):
            message = f"alwayson_scripts.{SCRIPT}={shown(script)}: give {{'args': [{{'safety_level': ...}}]}}"
            raise ApiError(400, message, "invalid_value", "alwayson_scripts")
        return told


class Answer(BaseModel):
    """Their form of an answer."""

    images: list[str] = Field(description="PNGs in base64: the safe pictures, then the unsafe originals if asked for.")
    parameters: dict[str, Any] = Field(description="The request.")
    info: str = Field(description="JSON: seeds, prompts, and under the key `dualsafe` what was done to each picture.")


def routes(
    admission: Admission, drawn: Callable[[Request, Kind, list[Order]], Awaitable[ImagesResponse]], **keyed: Any
) -> APIRouter:
    """The route.

    Args:
        drawn: draws what was admitted.
        **keyed: what a route says of its key.
    """
    router = APIRouter()

    @router.post(TXT2IMG, **keyed, tags=["A1111"])
    async def txt2img(body: Txt2Img, request: Request) -> Answer:
        """Draws safe pictures of a prompt, for clients of A1111's API."""
        try:
            asked = body.as_ours()
        except ValidationError as error:
            raise not_valid(error.errors(), ImageRequest.model_fields) from error
        kind, orders = await asyncio.to_thread(admission.admit, asked)
        made = await drawn(request, kind, orders)
        return await asyncio.to_thread(_answer, body, kind, orders, made)

    return router


def _answer(body: Txt2Img, kind: Kind, orders: list[Order], made: ImagesResponse) -> Answer:
    safe = [(order, picture) for order, picture in zip(orders, made.data) if not picture.withheld]
    reports = [picture.model_dump(exclude={"b64_json", "unsafe_b64_json"}) for picture in made.data]
    seeds = [order.seed for order, _ in safe]
    info = {
        "prompt": body.prompt,
        "all_prompts": [order.prompt for order, _ in safe],
        "seed": orders[0].seed,
        "all_seeds": seeds,
        "width": kind.width,
        "height": kind.height,
        "steps": kind.steps,
        "cfg_scale": kind.guidance_scale,
        "batch_size": len(safe),
        "infotexts": [
            f"{order.prompt}\nSteps: {kind.steps}, CFG scale: {kind.guidance_scale:g}, Seed: {order.seed}, "
            f"Size: {kind.width}x{kind.height}, Safety level: {picture.safety_level:g}"
            for order, picture in safe
        ],
        "dualsafe": {"pictures": reports, "ignored": body.ignored},
    }
    images = [picture.b64_json for _, picture in safe] + [picture.unsafe_b64_json for _, picture in safe]
    return Answer(
        images=[image for image in images if image is not None],
        parameters=body.model_dump(exclude_unset=True),
        info=json.dumps(info),
    )
