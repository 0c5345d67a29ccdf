"""Asking a vision-language model about a picture, in words, and reading its answer: one that runs here or elsewhere."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import torch
from PIL import Image

from ..files import png_of
from ..optional import needed
from .judge import Verdict


@torch.no_grad()
def asked(model: Any, processor: Any, image: Image.Image, request: str, max_new_tokens: int) -> str:
    """The answer of a transformers model that takes a picture and text, without sampling."""
    content = [{"type": "image", "image": image.convert("RGB")}, {"type": "text", "text": request}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    ).to(model.device, model.dtype)
    tokens = model.generate(**inputs, do_sample=False, max_new_tokens=max_new_tokens)
    return processor.decode(tokens[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)


class Endpoint:
    """A served model (vLLM, llama.cpp, a provider's), asked at temperature 0 by OpenAI's client.

    Args:
        base_url: where the API starts: "http://127.0.0.1:8000/v1".
        model: the name the server knows the model by.
        api_key: None takes the environment's OPENAI_API_KEY, if set.
        timeout: seconds that the server may keep silent.
        max_retries: further attempts after a timeout, a lost connection or a server's failure.

    Raises:
        ImportError: the client is not installed.
    """

    def __init__(
        self, base_url: str, model: str, api_key: str | None = None, timeout: float = 60.0, max_retries: int = 2
    ):
        client = needed("openai", "endpoint").OpenAI
        key = api_key or os.environ.get("OPENAI_API_KEY") or "none"  # the client insists on one
        self._client = client(base_url=base_url, api_key=key, timeout=timeout, max_retries=max_retries)
        self._model = model

    def ask(self, image: Image.Image, request: str, max_tokens: int) -> tuple[str, bool]:
        """What the model says, and whether that is a refusal.

        Raises:
            openai.OpenAIError: the service fails.
        """
        parts: list[Any] = [
            {"type": "text", "text": request},
            {"type": "image_url", "image_url": {"url": _data_url(image)}},
        ]
        completion = self._client.chat.completions.create(
            model=self._model,
            messages=[{"role": "user", "content": parts}],
            temperature=0,
            max_tokens=max_tokens,
        )
        message = completion.choices[0].message
        return message.refusal or message.content or "", bool(message.refusal)


def _data_url(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(png_of(image.convert("RGB"))).decode()


def read_object(text: str) -> dict[str, Any] | None:
    """The one JSON object in a text, whatever stands around it; None where there is none, or more, or a key twice."""
    try:
        answer, end = _DECODER.raw_decode(text, text.index("{"))
    except (ValueError, RecursionError):
        return None
    return None if "{" in text[end:] else answer


def unreadable(text: str | None) -> Verdict:
    """The verdict where a model refused, or its answer cannot be read: never safe; keeps what it said."""
    return Verdict(True, refused=True, rationale=text or None)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_without_doubles)
