"""The picto world without a model: unsafe items, their exact masks, and exact safe twins."""

from PIL import Image

from dualsafe.picto import Scene, counterfactual, render
from dualsafe.picto.world import COLOURS, SETTINGS, SUBJECTS, UNSAFE_ITEMS

TILE = 96
sheet = Image.new("RGB", (TILE * len(UNSAFE_ITEMS), TILE * 3), "white")
for column, item in enumerate(UNSAFE_ITEMS):
    setting, subject = list(SETTINGS)[column % len(SETTINGS)], SUBJECTS[column % len(SUBJECTS)]
    scene = Scene(setting, subject, list(COLOURS)[column % len(COLOURS)], item)
    unsafe, safe = render(scene), render(counterfactual(scene))
    mask = Image.fromarray(unsafe.item_mask).convert("RGB")
    for row, picture in enumerate((unsafe.to_pil(), mask, safe.to_pil())):
        sheet.paste(picture.resize((TILE, TILE), Image.Resampling.NEAREST), (TILE * column, TILE * row))
sheet.save("picto_world.png")
