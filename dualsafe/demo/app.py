"""The app's layout, and which button does what."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr

from . import look
from .desk import Desk
from .session import Studio

DRAWS: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "pipeline", "api_visibility": "private"}
AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def build(studio: Studio, steps: int = 25, guidance_scale: float = 5.0, examples: tuple[str, ...] = ()) -> gr.Blocks:
    """The app around a studio; `look.theme()` and `look.CSS` are given when it is launched.

    Args:
        steps, guidance_scale: what the sliders start with.
        examples: prompts to try.
    """
    desk, ui = Desk(studio), SimpleNamespace()  # each part adds its components to `ui`
    with gr.Blocks(title="dualsafe", analytics_enabled=False, delete_cache=(3600, 3600)) as app:
        gr.HTML(look.TITLE, padding=False, elem_classes="title")
        with gr.Row(elem_classes="studio"):
            with gr.Column(scale=5, min_width=320, elem_classes="controls"):
                _add_controls(ui, studio, steps, guidance_scale, examples)
            with gr.Column(scale=6, min_width=320, elem_classes="stage"):
                _add_stage(ui)
        ui.strip_box, ui.strip = _strip("strip", look.LADDER, 5)
        ui.history_box, ui.history = _strip("history", look.HISTORY, 8)
        _wire(desk, ui)
        _own_levels(studio, ui)
        app.unload(desk.stop)
    return app


def _add_controls(
    ui: SimpleNamespace, studio: Studio, steps: int, guidance_scale: float, examples: tuple[str, ...]
) -> None:
    """What the user sets."""
    first = next(iter(studio.policies))
    ui.prompt = gr.Textbox(label="Prompt", placeholder="What to draw", lines=2, submit_btn=False, elem_id="prompt")
    if examples:
        gr.Examples([[text] for text in examples], [ui.prompt], label="Try one", api_visibility="private")
    with gr.Group():
        ui.level = gr.Slider(0, 1, 1.0, step=0.05, label="Safety level", elem_id="level", buttons=[])
        gr.HTML(look.ticks(), padding=False, elem_classes="below")
    with gr.Row():
        ui.draw = gr.Button(look.DRAW, variant="primary", min_width=100, elem_id="draw")
        ui.cancel = gr.Button("Cancel", interactive=False, min_width=100, elem_id="cancel")
    with gr.Column(elem_classes="more"):
        ui.policy = gr.Dropdown(list(studio.policies), value=first, label="Policy", elem_id="policy")
        with gr.Accordion("Levels by category", open=False):
            chosen, known = _levels(studio, first)
            ui.levels = gr.State(known)
            ui.own = gr.CheckboxGroup(**chosen, label="Not the dial's level, but one of their own", elem_id="own")
            ui.place = gr.Column()
        with gr.Accordion("Seed, steps, guidance", open=False):
            ui.seed = gr.Number(7, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, elem_id="seed")
            ui.anew = gr.Checkbox(False, label="A new seed for every picture")
            ui.steps = gr.Slider(1, 100, steps, step=1, label="Denoising steps", elem_id="steps", buttons=[])
            ui.guidance = gr.Slider(1, 15, guidance_scale, step=0.5, label="Guidance scale", buttons=[])


def _add_stage(ui: SimpleNamespace) -> None:
    """The pair and what is said of it."""
    ui.pair = gr.ImageSlider(
        type="pil", format="png", label="Original and safe", show_label=False, buttons=[], elem_id="pair"
    )
    ui.divider = gr.Slider(
        0, 100, 50, step=1, label="Divider: original on its left, safe on its right", elem_id="divider", buttons=[]
    )
    with gr.Row():
        ui.plain = gr.Checkbox(False, label="Show what is unsafe unblurred", info=look.BLURRED, elem_id="plain")
        ui.masked = gr.Checkbox(False, label="Show the mask", info=look.MASK, elem_id="masked")
    ui.report = gr.HTML(look.EMPTY, elem_classes="report", elem_id="report")
    with gr.Row():
        ui.download = gr.DownloadButton("Download the pair", interactive=False, min_width=130, elem_id="download")
        ui.ladder = gr.Button("Draw the ladder", interactive=False, min_width=130, elem_id="ladder")
    ui.shown, ui.drawn = gr.State(None), gr.State([])


def _strip(name: str, heading: str, columns: int) -> tuple[gr.Column, gr.Gallery]:
    """A row of pictures, hidden as long as there are none."""
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
    return box, gallery


def _wire(desk: Desk, ui: SimpleNamespace) -> None:
    buttons, view = [ui.draw, ui.cancel, ui.ladder], [ui.shown, ui.plain, ui.masked]
    picture = [ui.pair, ui.report, ui.download, ui.strip_box, ui.strip]
    asked = [ui.prompt, ui.level, ui.policy, ui.own, ui.levels, ui.seed, ui.anew, ui.steps, ui.guidance, ui.drawn]
    drawing = [ui.draw.click, ui.prompt.submit]
    gr.on(drawing, None, outputs=ui.draw, js=f"() => '{look.DRAWING}'", **AT_ONCE)  # before the server answers
    starts = gr.on(drawing, desk.ready, outputs=buttons, trigger_mode="once", **AT_ONCE)
    drawn = starts.then(desk.draw, asked, [ui.seed, ui.shown, ui.drawn], show_progress_on=ui.pair, **DRAWS)
    again = ui.ladder.click(desk.ready, outputs=buttons, **AT_ONCE)
    both = [ui.shown, ui.drawn]
    climbed = again.then(desk.ladder, both, both, show_progress_on=ui.pair, **DRAWS)
    for event in (drawn, climbed):
        event.failure(desk.done, ui.shown, buttons, **AT_ONCE)
        shows = event.then(desk.show, view, picture, **AT_ONCE)
        shows.then(desk.remember, ui.drawn, [ui.history_box, ui.history], **AT_ONCE).then(
            desk.done, ui.shown, buttons, **AT_ONCE
        )
    gr.on([ui.plain.change, ui.masked.change], desk.show, view, picture, **AT_ONCE)
    recalled = ui.history.select(desk.recall, ui.drawn, ui.shown, **AT_ONCE)
    recalled.then(desk.show, view, picture, **AT_ONCE)
    ui.cancel.click(desk.stop, **AT_ONCE)
    ui.divider.input(lambda at: gr.ImageSlider(slider_position=at), ui.divider, ui.pair, **AT_ONCE)


def _own_levels(studio: Studio, ui: SimpleNamespace) -> None:
    """A slider for every category that is to have its own level."""

    def other_policy(policy: str) -> list[Any]:
        chosen, known = _levels(studio, policy)
        return [gr.CheckboxGroup(**chosen), known]

    ui.policy.change(other_policy, ui.policy, [ui.own, ui.levels], **AT_ONCE)
    with ui.place:

        @gr.render(inputs=[ui.policy, ui.own, ui.levels], triggers=[ui.own.change])
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
                    [slider, ui.levels],
                    ui.levels,
                    **AT_ONCE,
                )


def _levels(studio: Studio, policy: str) -> tuple[dict[str, Any], dict[str, float]]:
    """A policy's categories as choices, those with a level of their own chosen, and these levels."""
    categories = studio.policies[policy].categories
    known = {name: category.level for name, category in categories.items() if category.level is not None}
    return {"choices": list(categories), "value": list(known)}, known
