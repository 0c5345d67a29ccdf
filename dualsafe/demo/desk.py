"""What the app's buttons do."""

from __future__ import annotations

import random
from collections.abc import Callable
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr

from . import look
from .pack import pack
from .session import Cancelled, DrawnPair, Studio, Wish
from .words import sentences

Shown = DrawnPair | str | None
"""What the stage shows: a pair, why there is none, or nothing yet."""
KEPT = 24
"""Pictures that a session remembers."""


class Desk:
    """What the app's events call."""

    def __init__(self, studio: Studio):
        self.studio = studio
        self._folder = TemporaryDirectory(prefix="dualsafe-")  # of the pairs to download; goes when the app ends

    def ready(self, request: gr.Request) -> list[Any]:
        self.studio.ready(whose(request))
        return [gr.Button(interactive=on) for on in (False, True, False)]

    def done(self, shown: Shown) -> list[Any]:
        draw = gr.Button(look.DRAW, interactive=True)
        return [draw, *(gr.Button(interactive=on) for on in (False, isinstance(shown, DrawnPair)))]

    def stop(self, request: gr.Request) -> None:
        self.studio.stop(whose(request))

    def draw(
        self,
        prompt: str,
        level: float,
        policy: str,
        own: list[str],
        levels: dict[str, float],
        seed: int,
        anew: bool,
        steps: int,
        guidance: float,
        drawn: list[DrawnPair],
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        """A new picture: seed, what is shown, and the history with it in front; or why there is none."""
        seed = random.SystemRandom().randrange(2**31) if anew else seed
        own_levels = {name: levels.get(name, 1.0) for name in own}

        def work() -> DrawnPair:
            wish = Wish(prompt, level, policy, own_levels, seed, int(steps), guidance)
            return self.studio.draw(wish, whose(request), telling(progress))

        shown = in_words(work)
        if isinstance(shown, DrawnPair):
            return [seed, shown, [shown, *drawn][:KEPT]]
        return [gr.skip(), gr.skip() if shown is None else shown, gr.skip()]

    def ladder(
        self,
        shown: DrawnPair,
        drawn: list[DrawnPair],
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        """What is shown with its ladder, in the history too."""
        with_ladder = in_words(lambda: self.studio.ladder(shown, whose(request), telling(progress)))
        if not isinstance(with_ladder, DrawnPair):
            return [gr.skip(), gr.skip()]
        return [with_ladder, [with_ladder if other is shown else other for other in drawn]]

    def show(self, shown: Shown, plain: bool, masked: bool) -> list[Any]:
        """What fills the stage: no picture stays beside a prompt that was refused."""
        if not isinstance(shown, DrawnPair):
            said = look.EMPTY if shown is None else look.refused(shown)
            return [None, said, gr.DownloadButton(interactive=False), gr.Column(visible=False), []]
        strip = shown.strip(plain)
        return [
            gr.ImageSlider(shown.pair(plain, masked), elem_classes=f"right-{shown.right}"),
            look.paragraphs(sentences(shown.report, shown.wish.prompt, shown.policy)),
            gr.DownloadButton(value=pack(shown, Path(self._folder.name), self.studio.model), interactive=True),
            gr.Column(visible=bool(strip)),
            strip,
        ]

    def remember(self, drawn: list[DrawnPair]) -> list[Any]:
        pictures = [(one.pair(False, False)[1], f"{one.wish.prompt} ({one.wish.level:g})") for one in drawn]
        return [gr.Column(visible=bool(pictures)), pictures]

    def recall(self, drawn: list[DrawnPair], event: gr.SelectData) -> DrawnPair:
        return drawn[event.index]


def whose(request: gr.Request) -> str:
    return request.session_hash or ""


def telling(progress: gr.Progress) -> Callable[[float, str], Any]:
    return lambda share, text: progress(share, desc=text)


def in_words(work: Callable[[], DrawnPair]) -> Shown:
    """What `work` gives; None if it was stopped, or a sentence if it went wrong; the page says both."""
    try:
        return work()
    except Cancelled:
        gr.Info("Nothing of it was kept.", title="Cancelled")
    except (ValueError, RuntimeError, OSError) as error:
        sentence = " ".join(str(error).split()) or type(error).__name__
        gr.Warning(escape(sentence), title=look.REFUSED)
        return sentence
    return None
