"""Pictures with captions in a grid."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont


def draw_grid(rows: list[list[Image.Image]], titles: list[str], row_titles: list[str], tile: int = 192) -> Image.Image:
    """A grid of pictures: `titles` over the columns, a line of text over each row."""
    font = ImageFont.load_default(size=13)
    gap, band = 6, 20
    width = len(titles) * (tile + gap) + gap
    height = band + len(rows) * (tile + gap + band)
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((gap + column * (tile + gap) + tile / 2, 4), title, fill="black", font=font, anchor="ma")
    for r, (pictures, title) in enumerate(zip(rows, row_titles)):
        top = band + r * (tile + gap + band)
        draw.text((gap, top + 3), title, fill=(90, 90, 90), font=font)
        for column, picture in enumerate(pictures):
            scaled = picture.convert("RGB").resize((tile, tile), Image.Resampling.LANCZOS)
            sheet.paste(scaled, (gap + column * (tile + gap), top + band))
    return sheet
