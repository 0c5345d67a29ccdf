"""From a request's body to orders within the operator's limits, before anything is queued."""

from __future__ import annotations

import random
from contextlib import suppress

from PIL import Image

from ..checks import check_number, check_prompt, check_seed, level_of
from ..conditions import decide
from ..errors import PolicyViolation
from ..policy import Policy
from .draw import IMAGE, INPAINT, Edit, Kind, Order
from .edits import fitted, nearest
from .errors import ApiError, shown
from .schema import Asked, EditRequest, ImageRequest, Limits
from .settings import ServeSettings

STRENGTH = {IMAGE: 0.8, INPAINT: 1.0}
"""Of an edit that names none."""


class Admission:
    """Checks requests against the operator's settings.

    Args:
        settings: the operator's.
        sizes: accepted sizes, the first is the default.
        tasks: what the pipeline can do.
    """

    def __init__(self, settings: ServeSettings, sizes: tuple[str, ...], tasks: tuple[str, ...]):
        self._settings, self._policies = settings, settings.resolved()
        for policy in self._policies.values():
            term = next(iter(policy.categories.values())).concepts[0].terms[0]
            with suppress(PolicyViolation):
                decide({"prompt": [f"a cat and a {term}"]}, [1.0], None, False, policy)  # the first time takes a second
        self.limits = Limits(
            sizes=sizes,
            policies=tuple(self._policies),
            min_safety_level=float(settings.min_level),
            default_safety_level=float(settings.default_level),
            return_pair=settings.allow_pairs,
            max_n=settings.max_n,
            min_steps=settings.min_steps,
            max_steps=settings.max_steps,
            max_guidance_scale=settings.max_guidance_scale,
            max_prompt=settings.max_prompt,
            edits=tuple(task for task in (IMAGE, INPAINT) if task in tasks and settings.edits),
        )

    def admit(self, request: ImageRequest) -> tuple[Kind, list[Order]]:
        """What to draw.

        Raises:
            ApiError, ArgumentError: an argument outside the limits.
            PolicyViolation: the prompt asks for what is never generated.
        """
        return self._admit(request, None, request.size)

    def admit_edit(
        self, request: EditRequest, picture: Image.Image, mask: Image.Image | None
    ) -> tuple[Kind, list[Order]]:
        """The same, to be drawn over a picture; `mask` is white where it may change.

        Raises:
            ApiError, ArgumentError: an argument outside the limits.
            PolicyViolation: the prompt asks for what is never generated.
        """
        task = IMAGE if mask is None else INPAINT
        if task not in self.limits.edits:
            raise ApiError(404, f"{task} is not done here", "not_found")
        size = nearest(self.limits.sizes, picture) if request.size in (None, "auto") else request.size
        picture, mask = fitted(picture, mask, self._size(size))
        strength = STRENGTH[task] if request.strength is None else request.strength
        return self._admit(request, Edit(picture, mask, strength), size)

    def _admit(self, request: Asked, edit: Edit | None, size: str | None) -> tuple[Kind, list[Order]]:
        settings = self._settings
        if request.model not in (None, settings.name):
            message = f"model={shown(request.model)} is not served here: {settings.name!r} is"
            raise ApiError(404, message, "model_not_found", "model")
        if request.response_format == "url":
            raise _refused("response_format", "url", "pictures are not kept here: ask for 'b64_json'")
        if request.return_pair and not settings.allow_pairs:
            raise _refused("return_pair", True, "unsafe originals do not leave this service")
        check_prompt(request.prompt, settings.max_prompt)
        n, steps = request.n or 1, request.steps or settings.steps
        guidance = settings.guidance_scale if request.guidance_scale is None else request.guidance_scale
        check_number("n", n, 1, settings.max_n)
        check_number("steps", steps, settings.min_steps, settings.max_steps)
        check_number("guidance_scale", guidance, 0, settings.max_guidance_scale)
        width, height = self._size(size)
        policy = self._policy(request.policy)
        kind = Kind(width, height, steps, guidance, policy.id, bool(request.return_pair), edit)
        if edit is not None and kind.steps_run < settings.min_steps:
            run = f"{edit.strength:g} of {steps} steps are {kind.steps_run}"
            raise _refused(
                "strength", edit.strength, f"{run}, and the least that is accepted here is {settings.min_steps}"
            )
        level = self._level(request.safety_level)
        decide({"prompt": [request.prompt]}, [level], None, False, policy)
        seed = random.SystemRandom().randrange(2**31) if request.seed is None else request.seed
        check_seed(seed, n)
        return kind, [Order(request.prompt, level, seed + k) for k in range(n)]

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
        level = level_of(asked)
        if level < self.limits.min_safety_level:
            raise _refused("safety_level", asked, f"the minimum here is {self.limits.min_safety_level:g}")
        return level


def _refused(name: str, value: object, accepted: str) -> ApiError:
    return ApiError(400, f"{name}={shown(value)}: {accepted}", "invalid_value", name)
