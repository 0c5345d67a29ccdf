"""The form of an edit: a picture, a mask, and what a request for a new picture has."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import Request
from fastapi.datastructures import FormData
from fastapi.exceptions import RequestValidationError
from PIL import Image, ImageOps
from pydantic import Field, ValidationError
from starlette.datastructures import UploadFile

from .errors import ApiError, shown
from .schema import EditRequest

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 4096 * 4096


class Form(EditRequest):
    """The body as the API's document has it."""

    image: bytes = Field(description="PNG, JPEG or WebP.")
    mask: bytes = Field(b"", description="PNG of the same size; what is transparent there is drawn anew.")


CONTENT = {"multipart/form-data": {"schema": Form.model_json_schema()}}
FORM: dict[str, Any] = {"requestBody": {"required": True, "content": CONTENT}}


async def read_form(request: Request) -> tuple[EditRequest, dict[str, bytes]]:
    """What is asked for, and the files "image" and, if any, "mask".

    Raises:
        RequestValidationError: an argument that cannot be.
        ApiError: no such form.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ApiError(400, "the body must be a form, sent as multipart/form-data", "invalid_body")
    async with request.form(max_files=3, max_fields=40) as form:
        texts, files = await _parts(form)
    try:
        asked = EditRequest.model_validate(texts, strict=False)  # a form has texts only
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    if "image" not in files:
        raise ApiError(400, "image is missing", "missing_parameter", "image")
    return asked, files


def read_pictures(files: dict[str, bytes]) -> tuple[Image.Image, Image.Image | None]:
    """The picture in RGB, and the mask (L, white where it may change), if any.

    Raises:
        ApiError: a file that is no picture, or two that do not go together.
    """
    picture = _picture("image", files["image"])
    mask = _transparent(picture)
    if "mask" in files:
        given = _picture("mask", files["mask"])
        if given.size != picture.size:
            message = f"mask is {given.width}x{given.height}, image {picture.width}x{picture.height}: give one size"
            raise ApiError(400, message, "invalid_value", "mask")
        mask = _transparent(given)
        if mask is None:
            raise ApiError(
                400, "mask has no transparent pixel: make transparent what may change", "invalid_value", "mask"
            )
    return picture.convert("RGB"), mask


def fitted(
    picture: Image.Image, mask: Image.Image | None, size: tuple[int, int]
) -> tuple[Image.Image, Image.Image | None]:
    """Both in the size that is drawn, (width, height), cut to its proportions at the middle."""
    smooth, hard = Image.Resampling.LANCZOS, Image.Resampling.NEAREST
    return ImageOps.fit(picture, size, smooth), None if mask is None else ImageOps.fit(mask, size, hard)


def nearest(sizes: Sequence[str], picture: Image.Image) -> str:
    """The one of `sizes`, WIDTHxHEIGHT, whose proportions are the nearest to the picture's; the first of several."""
    wanted = np.log(picture.width / picture.height)

    def away(size: str) -> float:
        width, height = map(int, size.split("x"))
        return abs(np.log(width / height) - wanted)

    return min(sizes, key=away)


async def _parts(form: FormData) -> tuple[dict[str, str], dict[str, bytes]]:
    """Texts and files by name.

    Raises:
        ApiError: a name twice, or a file in the place of a text.
    """
    texts: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for key, value in form.multi_items():
        name = key.removesuffix("[]")
        said = shown(name)[1:-1]
        if name in texts or name in files:
            raise ApiError(400, f"{said} is there twice: give one", "invalid_value", said)
        if isinstance(value, UploadFile):
            if name not in ("image", "mask"):
                raise ApiError(400, f"{said} is a file: files are image and mask", "unknown_parameter", said)
            files[name] = await value.read()
        elif name in ("image", "mask"):
            raise ApiError(400, f"{name} must be a file", "invalid_value", name)
        else:
            texts[name] = value
    return texts, files


def _picture(name: str, content: bytes) -> Image.Image:
    """
    Raises:
        ApiError: not a picture, or too large a one.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            message = f"{name} is {image.width}x{image.height}: at most {MAX_PIXELS} pixels are read"
            raise ApiError(400, message, "invalid_value", name)
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ApiError(400, f"{name} is no whole PNG, JPEG or WebP", "invalid_value", name) from error
    return ImageOps.exif_transpose(image)


def _transparent(image: Image.Image) -> Image.Image | None:
    """White where the picture is wholly transparent; None where it nowhere is."""
    if not image.has_transparency_data:
        return None
    empty = np.asarray(image.convert("RGBA"))[..., 3] == 0
    return Image.fromarray(np.where(empty, 255, 0).astype(np.uint8)) if empty.any() else None
