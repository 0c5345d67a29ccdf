"""How the app looks: a theme of system fonts, a little CSS, and the pieces of text that carry markup."""

from __future__ import annotations

from html import escape
from typing import Any

from ..config import PRESETS

TITLE = "<h1>dualsafe</h1><p>One noise, two pictures: what was asked for, and what the dial makes of it.</p>"
DRAW, DRAWING = "Draw", "Drawing…"
REFUSED = "This cannot be drawn"
EMPTY = "<p class='quiet'>The report of the picture is written here.</p>"
BLURRED = "Until then only the blur leaves the server."
MASK = "Where the picture was allowed to change."
LADDER = (
    "<h2>The ladder</h2><p>One seed, the dial from 0 to 1. What is less safe than your level, or unsafe to the judge, "
    "is blurred.</p>"
)
HISTORY = "<h2>This session</h2><p>The latest first; pick one to see it again.</p>"

CSS = """
.gradio-container {max-width: 1120px !important; margin: 0 auto !important; padding: 0 !important}
.main {padding: 20px clamp(14px, 3vw, 32px) 40px !important}
.title h1 {font-size: 1.6rem; font-weight: 650; letter-spacing: -.015em; margin: 0}
.heading h2 {font-size: 1.05rem; font-weight: 600; margin: 18px 0 0}
.title p, .heading p {color: var(--body-text-color-subdued) !important; margin: 2px 0 0}
.block.heading {margin-bottom: -6px}
.block.title {margin-bottom: 4px}
.block.title, .block.heading {padding: 0 !important}
.title .html-container, .heading .html-container, .below .html-container {padding: 0 !important}
.block.below {background: var(--block-background-fill); margin-top: -8px;
              padding: 0 var(--block-padding) 10px !important}
.ticks {display: flex; justify-content: space-between; padding: 0 8px}
.ticks span {flex: 0 0 0; display: flex; justify-content: center; white-space: nowrap; font-size: .8rem;
             color: var(--body-text-color-subdued)}
#level .min_value, #level .max_value, #divider .min_value, #divider .max_value, #divider .tab-like-container,
#divider input[type=number] {display: none}
.report .html-container {padding: 0 4px !important}
.report p {margin: 0 0 .4em; line-height: 1.5; overflow-wrap: anywhere}
.report .quiet {color: var(--body-text-color-subdued) !important}
#pair {background: var(--background-fill-secondary)}
#pair .image-container, #pair .slider-wrap, #pair .content {width: 100%; max-width: 100%; min-width: 0}
#pair img {width: 100% !important; max-width: 100%; object-fit: contain}
#pair .icon-button-wrapper {display: none}
#pair:has(img)::before, #pair:has(img)::after {position: absolute; bottom: 8px; z-index: 100; padding: 2px 8px;
  border-radius: 4px; background: rgb(15 23 42 / .82); color: white; font-size: .85rem; pointer-events: none}
#pair:has(img)::before {content: "Original"; left: 8px}
#pair:has(img)::after {content: "Safe"; right: 8px}
#pair.right-stock:has(img)::after {content: "The same: stock picture"}
#pair.right-original:has(img)::after {content: "Level 0: the original"}
#pair.right-withheld:has(img)::after {content: "Withheld"}
input[type=range] {height: 24px !important}
input[type=checkbox], input[type=radio] {width: 24px !important; height: 24px !important}
button.label-wrap, .gallery-item, button, #policy input {min-height: 24px}
::placeholder {color: var(--body-text-color-subdued) !important; opacity: 1}
.strip .grid-wrap {height: auto !important; min-height: 0 !important; max-height: none !important; padding: 0}
.strip .grid-container {height: auto !important; padding: 0; grid-auto-rows: auto !important;
                        grid-template-rows: none !important}
.strip .gallery-item, .strip .thumbnail-item, .strip img {min-width: 0; width: 100%}
#strip .grid-container {grid-template-columns: repeat(5, minmax(0, 1fr)) !important}
#history .grid-container {grid-template-columns: repeat(8, minmax(0, 1fr)) !important}
.strip {background: none !important; border: none !important; min-height: 0 !important; height: auto !important}
:focus-visible {outline: 2px solid var(--color-accent) !important; outline-offset: 2px}
.strip .gallery-container {height: auto !important; min-height: 0 !important}
.strip .thumbnail-item {height: auto !important; aspect-ratio: 1}
@media (max-width: 700px) {
  .studio {flex-wrap: wrap}
  .studio > *, .controls > * {flex: 0 0 100% !important; min-width: 0 !important}
  .controls {display: contents !important}
  .controls > .more {order: 2}
  .stage {order: 1}
  .form:has(#divider) {display: none !important}
  #strip .grid-container {grid-template-columns: repeat(3, minmax(0, 1fr)) !important}
  #history .grid-container {grid-template-columns: repeat(4, minmax(0, 1fr)) !important}
  .strip .caption-label {font-size: .65rem !important; padding: 1px 4px !important}
}
"""


def theme() -> Any:
    """Neutral greys and one accent; fonts that every system has, so that nothing is fetched."""
    import gradio as gr

    return gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        radius_size="md",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
        slider_color="*primary_600",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        button_secondary_text_color="*neutral_800",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        block_border_width="1px",
        block_shadow="none",
    )


def ticks() -> str:
    """The named levels, under the dial."""
    return f"<div class='ticks' aria-hidden='true'>{''.join(f'<span>{name}</span>' for name in PRESETS)}</div>"


def paragraphs(sentences: list[str]) -> str:
    """Sentences as HTML, whatever is in them escaped."""
    *said, cost = sentences
    lines = [f"<p>{escape(sentence)}</p>" for sentence in said]
    return "".join([*lines, f"<p class='quiet'>{escape(cost)}</p>"])


def refused(sentence: str) -> str:
    """Why there is no picture, as HTML."""
    return f"<p><strong>{REFUSED}.</strong> {escape(sentence)}</p>"
