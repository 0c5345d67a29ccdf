"""Calls of one pipeline, as the stock class makes them and as the dual one does, from the same seeds."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from ..pipelines.dual import DualLatentMixin

STRENGTH = 0.8
"""Of pipelines that start from a picture."""


@dataclass(frozen=True)
class Drawing:
    """
    Attributes:
        pipe: the dual pipeline; its stock class is called on it, too, so that both have the same components.
        steps: of a call.
        options: further arguments of every call.
    """

    pipe: DualLatentMixin | Any
    steps: int
    options: dict[str, Any]

    def stock(self, prompts: list[str], seed: int, kind: str = "latent") -> Any:
        """The stock call's pictures, as `kind` says; the k-th from `seed` + k."""
        return self.pipe.stock_class().__call__(self.pipe, **self._told(prompts, seed, kind)).images

    def dual(self, prompts: list[str], seed: int, kind: str = "latent", **more: Any) -> Any:
        """The dual call's output."""
        return self.pipe(**self._told(prompts, seed, kind), scope="words", **more)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.options.get("height"), self.options.get("width")  # type: ignore[return-value]

    @property
    def starts_from_pictures(self) -> bool:
        """Whether a call is given pictures."""
        return any(isinstance(value, Image.Image) for value in self.options.values())

    def _told(self, prompts: list[str], seed: int, kind: str) -> dict[str, Any]:
        generators = [torch.Generator("cpu").manual_seed(seed + k) for k in range(len(prompts))]
        pictures = {
            name: [value] * len(prompts) if isinstance(value, Image.Image) else value
            for name, value in self.options.items()
        }
        told = {"num_inference_steps": self.steps, "output_type": kind, "generator": generators} | pictures
        return told | {"prompt": list(prompts)}  # Flux.2 takes another argument first, and Z-Image writes into the list


def drawing(pipe: DualLatentMixin | Any, steps: int, size: tuple[int, int] | None = None, **options: Any) -> Drawing:
    """Calls of `pipe`; where it starts from pictures or is told by them, they are grey ramps.

    Args:
        size: height and width; the model's own if None.
    """
    takes = inspect.signature(pipe.stock_class().__call__).parameters
    height, width = pipe.image_size(*(size or (None, None)))
    ramp = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    pictures = {"image": ramp, "control_image": ramp.rotate(180), "mask_image": ramp.convert("L")}
    needed = {"strength", "controlnet_conditioning_scale"} & takes.keys()  # else they are references, for who has some
    found: dict[str, Any] = {name: picture for name, picture in pictures.items() if needed and name in takes}
    found |= {"strength": STRENGTH} if "strength" in takes else {}
    found |= {"height": height, "width": width} if "height" in takes else {}
    return Drawing(pipe, steps, found | options)
