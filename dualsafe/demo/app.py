"""The app's layout, and which button does what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from . import look
from .desk import Desk
from .session import Studio

DRAWS: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "pipeline", "api_visibility": "private"}
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


WISHED = ("prompt", "level", "policy", "own", "levels", "seed", "anew", "steps", "guidance")
"""The controls that `Desk.draw` takes, in order."""


@dataclass(frozen=True)
class Controls:
    """What the user sets."""

    prompt: gr.Textbox
    level: gr.Slider
    policy: gr.Dropdown
    own: gr.CheckboxGroup
    levels: gr.State
    place: gr.Column
    seed: gr.Number
    anew: gr.Checkbox
    steps: gr.Slider
    guidance: gr.Slider
    draw: gr.Button
    cancel: gr.Button


@dataclass(frozen=True)
class Stage:
    """What the user sees."""

    pair: gr.ImageSlider
    divider: gr.Slider
    plain: gr.Checkbox
    masked: gr.Checkbox
    report: gr.HTML
    download: gr.DownloadButton
    ladder: gr.Button
    strip_box: gr.Column
    strip: gr.Gallery
    history_box: gr.Column
    history: gr.Gallery
    shown: gr.State
    drawn: gr.State

    @property
    def picture(self) -> list[Any]:
        """The components that `Desk.show` fills."""
        return [self.pair, self.report, self.download, self.strip_box, self.strip]


def build(studio: Studio, steps: int = 25, guidance_scale: float = 5.0, examples: tuple[str, ...] = ()) -> gr.Blocks:
    """The app around a studio; `look.theme()` and `look.CSS` are given when it is launched.

    Args:
        steps, guidance_scale: what the sliders start with.
        examples: prompts to try.
    """
    desk = Desk(studio)
    with gr.Blocks(title="dualsafe", analytics_enabled=False, delete_cache=(3600, 3600)) as app:
        gr.HTML(look.TITLE, padding=False, elem_classes="title")
        with gr.Row(elem_classes="studio"):
            with gr.Column(scale=5, min_width=320, elem_classes="controls"):
                controls = _controls(studio, steps, guidance_scale, examples)
            with gr.Column(scale=6, min_width=320, elem_classes="stage"):
                first = _stage()
        stage = Stage(*first, *_strips())
        _wire(desk, controls, stage)
        _own_levels(studio, controls)
        app.unload(desk.stop)
    return app


def _controls(studio: Studio, steps: int, guidance_scale: float, examples: tuple[str, ...]) -> Controls:
    first = next(iter(studio.policies))
    prompt = gr.Textbox(label="Prompt", placeholder="What to draw", lines=2, submit_btn=False, elem_id="prompt")
    if examples:
        gr.Examples([[text] for text in examples], [prompt], label="Try one", api_visibility="private")
    with gr.Group():
        level = gr.Slider(0, 1, 1.0, step=0.05, label="Safety level", elem_id="level", buttons=[])
        gr.HTML(look.ticks(), padding=False, elem_classes="below")
    with gr.Row():
        draw = gr.Button(look.DRAW, variant="primary", min_width=100, elem_id="draw")
        cancel = gr.Button("Cancel", interactive=False, min_width=100, elem_id="cancel")
    with gr.Column(elem_classes="more"):
        policy = gr.Dropdown(list(studio.policies), value=first, label="Policy", elem_id="policy")
        with gr.Accordion("Levels by category", open=False):
            chosen, known = _levels(studio, first)
            levels = gr.State(known)
            own = gr.CheckboxGroup(**chosen, label="Not the dial's level, but one of their own", elem_id="own")
            place = gr.Column()
        with gr.Accordion("Seed, steps, guidance", open=False):
            seed = gr.Number(7, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, elem_id="seed")
            anew = gr.Checkbox(False, label="A new seed for every picture")
            count = gr.Slider(1, 100, steps, step=1, label="Denoising steps", elem_id="steps", buttons=[])
            guidance = gr.Slider(1, 15, guidance_scale, step=0.5, label="Guidance scale", buttons=[])
    return Controls(prompt, level, policy, own, levels, place, seed, anew, count, guidance, draw, cancel)


def _stage() -> tuple[Any, ...]:
    """The pair and what is said of it: the first fields of `Stage`."""
    pair = gr.ImageSlider(
        type="pil", format="png", label="Original and safe", show_label=False, buttons=[], elem_id="pair"
    )
    divider = gr.Slider(
        0, 100, 50, step=1, label="Divider: original on its left, safe on its right", elem_id="divider", buttons=[]
    )
    with gr.Row():
        plain = gr.Checkbox(False, label="Show what is unsafe unblurred", info=look.BLURRED, elem_id="plain")
        masked = gr.Checkbox(False, label="Show the mask", info=look.MASK, elem_id="masked")
    report = gr.HTML(look.EMPTY, elem_classes="report", elem_id="report")
    with gr.Row():
        download = gr.DownloadButton("Download the pair", interactive=False, min_width=130, elem_id="download")
        ladder = gr.Button("Draw the ladder", interactive=False, min_width=130, elem_id="ladder")
    return pair, divider, plain, masked, report, download, ladder


def _strips() -> tuple[Any, ...]:
    """The ladder, the history, and what lies behind them: the last fields of `Stage`."""
    strips = []
    for name, heading, columns in (("strip", look.LADDER, 5), ("history", look.HISTORY, 8)):
        with gr.Column(visible=False) as box:
            gr.HTML(heading, padding=False, elem_classes="heading")
            gallery = gr.Gallery(
                label=name,
                show_label=False,
                format="png",
                columns=columns,
                height="auto",
                object_fit="cover",
                fit_columns=False,
                allow_preview=False,
                buttons=[],
                interactive=False,
                elem_id=name,
                elem_classes="strip",
            )
        strips += [box, gallery]
    return *strips, gr.State(None), gr.State([])


def _wire(desk: Desk, controls: Controls, stage: Stage) -> None:
    buttons = [controls.draw, controls.cancel, stage.ladder]
    view = [stage.shown, stage.plain, stage.masked]
    asked = [getattr(controls, name) for name in WISHED]
    drawing = [controls.draw.click, controls.prompt.submit]
    gr.on(drawing, None, outputs=controls.draw, js=f"() => '{look.DRAWING}'", **AT_ONCE)  # before the server answers
    starts = gr.on(drawing, desk.ready, outputs=buttons, trigger_mode="once", **AT_ONCE)
    drawn = starts.then(
        desk.draw,
        [*asked, stage.drawn],
        [controls.seed, stage.shown, stage.drawn],
        show_progress_on=stage.pair,
        **DRAWS,
    )
    again = stage.ladder.click(desk.ready, outputs=buttons, **AT_ONCE)
    climbed = again.then(
        desk.ladder, [stage.shown, stage.drawn], [stage.shown, stage.drawn], show_progress_on=stage.pair, **DRAWS
    )
    for event in (drawn, climbed):
        event.failure(desk.done, stage.shown, buttons, **AT_ONCE)
        shows = event.then(desk.show, view, stage.picture, **AT_ONCE)
        shows.then(desk.remember, stage.drawn, [stage.history_box, stage.history], **AT_ONCE).then(
            desk.done, stage.shown, buttons, **AT_ONCE
        )
    gr.on([stage.plain.change, stage.masked.change], desk.show, view, stage.picture, **AT_ONCE)
    recalled = stage.history.select(desk.recall, stage.drawn, stage.shown, **AT_ONCE)
    recalled.then(desk.show, view, stage.picture, **AT_ONCE)
    controls.cancel.click(desk.stop, **AT_ONCE)
    stage.divider.input(lambda at: gr.ImageSlider(slider_position=at), stage.divider, stage.pair, **AT_ONCE)


def _own_levels(studio: Studio, controls: Controls) -> None:
    """A slider for every category that is to have its own level."""

    def other_policy(policy: str) -> list[Any]:
        chosen, known = _levels(studio, policy)
        return [gr.CheckboxGroup(**chosen), known]

    controls.policy.change(other_policy, controls.policy, [controls.own, controls.levels], **AT_ONCE)
    with controls.place:

        @gr.render(inputs=[controls.policy, controls.own, controls.levels], triggers=[controls.own.change])
        def sliders(policy: str, own: list[str], levels: dict[str, float]) -> None:
            for name in own:
                slider = gr.Slider(
                    0,
                    1,
                    levels.get(name, 1.0),
                    step=0.05,
                    label=name,
                    key=f"{policy} {name}",
                    interactive=True,
                    buttons=[],
                )
                slider.change(
                    lambda level, known, name=name: known | {name: level},
                    [slider, controls.levels],
                    controls.levels,
                    **AT_ONCE,
                )


def _levels(studio: Studio, policy: str) -> tuple[dict[str, Any], dict[str, float]]:
    """A policy's categories as choices, those with a level of their own chosen, and these levels."""
    categories = studio.policies[policy].categories
    known = {name: category.level for name, category in categories.items() if category.level is not None}
    return {"choices": list(categories), "value": list(known)}, known
