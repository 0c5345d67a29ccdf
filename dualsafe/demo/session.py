"""What the app draws, one picture at a time, and how a drawing is stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..checks import check_number, check_prompt, check_seed
from ..judges import Judge, ask
from ..pipelines.output import SafetyReport
from ..policy import Policy
from . import draw
from .words import caption

if TYPE_CHECKING:
    from ..pipelines import DualLatentPipeline

LADDER = (0.0, 0.25, 0.5, 0.75, 1.0)
Tell = Callable[[float, str], Any]


class Cancelled(Exception):
    """The user stopped the drawing."""


@dataclass(frozen=True)
class Wish:
    """What the user asks for.

    Attributes:
        level: safety level in [0, 1].
        policy: a policy's name.
        own: category -> its own level; the others follow the dial.

    Raises:
        ArgumentError: no prompt, no seed, or another value that cannot be.
    """

    prompt: str
    level: float
    policy: str
    own: dict[str, float]
    seed: int
    steps: int
    guidance_scale: float

    def __post_init__(self) -> None:
        check_prompt(self.prompt)
        check_seed(self.seed)
        check_number("steps", self.steps, 1)
        check_number("guidance_scale", self.guidance_scale, 0)


@dataclass(frozen=True)
class Rung:
    """A picture of the ladder.

    Attributes:
        caption: its level, and what else must be said of it.
        flagged: whether the judge says that it is unsafe, or has no answer.
    """

    level: float
    picture: Image.Image
    caption: str
    flagged: bool = False


@dataclass(frozen=True)
class DrawnPair:
    """A wish come true.

    Attributes:
        policy: the policy with the categories' own levels: what decided.
        mask: where `safe` may differ from `original`.
        ladder: the same seed at `LADDER`'s levels, once it was asked for.
    """

    wish: Wish
    policy: Policy
    original: Image.Image
    safe: Image.Image
    mask: Image.Image
    report: SafetyReport
    ladder: tuple[Rung, ...] = field(default=())

    @property
    def is_stock(self) -> bool:
        """Whether nothing had to change, so that the original is what the user gets anyway."""
        same = self.original.tobytes() == self.safe.tobytes()  # their marks differ
        return same and self.report.decision != "off" and not self.report.withheld

    @property
    def right(self) -> str:
        """What the picture on the right is: "safe", "stock", "original" or "withheld"."""
        if self.report.withheld:
            return "withheld"
        return "stock" if self.is_stock else "original" if self.report.decision == "off" else "safe"

    def pair(self, plain: bool, masked: bool) -> tuple[Image.Image, Image.Image]:
        """Original and safe picture to show.

        Args:
            plain: the user asked for what is unsafe as it is.
            masked: with the mask over the safe one.
        """
        original, safe = draw.enlarged(self.original), draw.enlarged(self.safe)
        if not (plain or self.is_stock):
            original = draw.blurred(original)
            safe = draw.blurred(safe) if self.report.decision == "off" else safe
        return original, draw.overlaid(safe, self.mask) if masked else safe

    def strip(self, plain: bool) -> list[tuple[Image.Image, str]]:
        """The ladder to show, with captions: what is less safe than the user's level, or was flagged, stays blurred."""
        shown = []
        for rung in self.ladder:
            lower = not self.is_stock and (rung.level == 0 or rung.level < self.wish.level)
            large = draw.enlarged(rung.picture)
            shown.append((draw.blurred(large) if not plain and (lower or rung.flagged) else large, rung.caption))
        return shown


class Studio:
    """A pipeline that draws for several browser sessions in turn.

    Args:
        pipe: the pipeline.
        policies: by name, the default first.
        judge: previews and verifies every picture, if given.
        model: what manifests call the checkpoint.
    """

    def __init__(
        self, pipe: DualLatentPipeline, policies: dict[str, Policy], judge: Judge | None = None, model: str = "picto"
    ):
        self.pipe, self.policies, self.model = pipe, policies, model
        self._judge = judge
        self._one_at_a_time = Lock()
        self._stopped: set[str] = set()

    def ready(self, session: str) -> None:
        """The session wants a new picture: an earlier stop is over."""
        self._stopped.discard(session)

    def stop(self, session: str) -> None:
        """Ends what is drawn for the session, at its next step."""
        self._stopped.add(session)

    def draw(self, wish: Wish, session: str, tell: Tell) -> DrawnPair:
        """Draws a pair.

        Args:
            session: whose it is.
            tell: is called with the share that is done and what is being done.

        Raises:
            ValueError: a wish that cannot be fulfilled; `PolicyViolation` where the policy refuses the prompt.
            Cancelled: `stop` was called.
        """
        policy = with_levels(self.policies[wish.policy], wish.own)
        output = self._call(wish, policy, session, tell, safety_level=wish.level, return_pair=True, verify=self._judge)
        original, safe = output.unsafe_images[0], output.images[0]
        mask = output.masks[0] if output.masks else Image.new("L", safe.size)  # none where nothing may change
        return DrawnPair(wish, policy, original, safe, mask, output.safety[0])

    def ladder(self, drawn: DrawnPair, session: str, tell: Tell) -> DrawnPair:
        """Adds the ladder: the dial alone, without the categories' own levels, from the same seed.

        The judge says of each picture whether it is unsafe, but none is drawn again for it, which would be at level 1:
        the row is to show what the dial does. A checkpoint's own safety checker does have it drawn again, or withheld.

        Raises:
            Cancelled: `stop` was called.
        """
        policy, rungs = with_levels(drawn.policy, {}), [Rung(0.0, drawn.original, "0")]
        for k, level in enumerate(LADDER[1:]):

            def partly(share: float, text: str, k: int = k, level: float = level) -> None:
                tell((k + share) / (len(LADDER) - 1), f"Level {level:g}: {text}")

            output = self._call(drawn.wish, policy, session, partly, safety_level=level)
            (picture,), (report,) = output.images, output.safety
            flagged = self._judge is not None and not report.withheld and ask(self._judge, [picture])[0].is_unsafe
            rungs.append(Rung(level, picture, caption(level, report, flagged), flagged))
        return replace(drawn, ladder=tuple(rungs))

    def _call(self, wish: Wish, policy: Policy, session: str, tell: Tell, **more: Any) -> Any:
        import torch

        def step(pipe: Any, i: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if session in self._stopped:
                raise Cancelled
            tell(min(1.0, (i + 1) / wish.steps), f"step {i + 1} of {wish.steps}")
            return tensors

        tell(0.0, "waiting for its turn")
        with self._one_at_a_time:
            if session in self._stopped:
                raise Cancelled
            tell(0.0, "reading the prompt")
            return self.pipe(
                prompt=wish.prompt,
                policy=policy,
                num_inference_steps=wish.steps,
                guidance_scale=wish.guidance_scale,
                generator=torch.Generator("cpu").manual_seed(wish.seed),
                callback_on_step_end=step,
                preview="auto" if self._judge is None else self._judge,
                **more,
            )


def with_levels(policy: Policy, own: dict[str, float]) -> Policy:
    """The policy with these categories' own levels, and the rest left to the dial."""
    categories = {
        name: category.model_copy(update={"level": own.get(name)}) for name, category in policy.categories.items()
    }
    return policy.model_copy(update={"categories": categories})
