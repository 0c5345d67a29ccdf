"""From a request's body to orders within the operator's limits, before anything is queued."""

from __future__ import annotations

import random

from ..conditions import decide
from ..config import resolve_level
from ..policy import Policy
from .draw import Kind, Order
from .errors import ApiError, shown
from .schema import ImageRequest, Limits
from .settings import ServeSettings


class Admission:
    """Checks requests against the operator's settings.

    Args:
        settings: the operator's.
        sizes: accepted sizes, the first is the default.
    """

    def __init__(self, settings: ServeSettings, sizes: tuple[str, ...]):
        self._settings, self._policies = settings, settings.resolved()
        self.limits = Limits(
            sizes=sizes,
            policies=tuple(self._policies),
            min_safety_level=float(settings.min_level),
            default_safety_level=float(settings.default_level),
            return_pair=settings.allow_pairs,
            max_n=settings.max_n,
            max_steps=settings.max_steps,
            max_guidance_scale=settings.max_guidance_scale,
            max_prompt=settings.max_prompt,
        )

    def admit(self, request: ImageRequest) -> tuple[Kind, list[Order]]:
        """What to draw.

        Raises:
            ApiError: an argument outside the limits.
            PolicyViolation: the prompt asks for what is never generated.
        """
        settings = self._settings
        if request.model not in (None, settings.name):
            message = f"model={shown(request.model)} is not served here: {settings.name!r} is"
            raise ApiError(404, message, "model_not_found", "model")
        if request.response_format == "url":
            raise _refused("response_format", "url", "pictures are not kept here: ask for 'b64_json'")
        if len(request.prompt) > settings.max_prompt:
            message = f"prompt has {len(request.prompt)} characters, over the {settings.max_prompt} accepted here"
            raise ApiError(400, message, "invalid_value", "prompt")
        if request.return_pair and not settings.allow_pairs:
            raise _refused("return_pair", True, "unsafe originals don't leave this service")
        n = _at_most("n", request.n or 1, settings.max_n)
        width, height = self._size(request.size)
        kind = Kind(
            width=width,
            height=height,
            steps=int(_at_most("steps", request.steps or settings.steps, settings.max_steps)),
            guidance_scale=_at_most("guidance_scale", self._guidance(request), settings.max_guidance_scale),
            policy=self._policy(request.policy).id,
            return_pair=bool(request.return_pair),
        )
        level = self._level(request.safety_level)
        decide({"prompt": [request.prompt]}, [level], None, False, self._policies[kind.policy])
        seed = random.SystemRandom().randrange(2**31) if request.seed is None else request.seed
        return kind, [Order(request.prompt, level, seed + k) for k in range(int(n))]

    def _guidance(self, request: ImageRequest) -> float:
        return self._settings.guidance_scale if request.guidance_scale is None else request.guidance_scale

    def _size(self, size: str | None) -> tuple[int, int]:
        size = self.limits.sizes[0] if size in (None, "auto") else size
        if size not in self.limits.sizes:
            raise _refused("size", size, f"accepted here are auto, {', '.join(self.limits.sizes)}")
        width, height = map(int, size.split("x"))
        return width, height

    def _policy(self, name: str | None) -> Policy:
        name = next(iter(self._policies)) if name is None else name
        if name not in self._policies:
            raise _refused("policy", name, f"accepted here are {', '.join(self._policies)}")
        return self._policies[name]

    def _level(self, asked: float | str | None) -> float:
        if asked is None:
            return self.limits.default_safety_level
        try:
            level = resolve_level(asked)
        except ValueError as error:
            raise _refused("safety_level", asked, "give a number in [0, 1], or off, low, medium, high, max") from error
        if level < self.limits.min_safety_level:
            raise _refused("safety_level", asked, f"the minimum here is {self.limits.min_safety_level:g}")
        return level


def _at_most(name: str, value: float, most: float) -> float:
    if value > most:
        raise _refused(name, value, f"the most that is accepted here is {most:g}")
    return value


def _refused(name: str, value: object, accepted: str) -> ApiError:
    return ApiError(400, f"{name}={shown(value)}: {accepted}", "invalid_value", name)
