"""The app in a real browser: what a user does with it, on screens of all kinds; it draws docs/img/app*.png."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dualsafe.policy import resolve

pytest.importorskip("gradio", reason="gradio is not installed: pip install 'dualsafe[demo]'")
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine to show the app in")

IMAGES = Path(os.environ.get("DUALSAFE_APP_IMAGES", Path(__file__).parents[1] / "docs" / "img"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
COMMAND = "from dualsafe.cli import app; app()"
KNIFE = "a man in blue with a knife in a park"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app as the command serves it: picto, few steps, a policy that blocks bombs."""
    folder = tmp_path_factory.mktemp("app")
    shipped = resolve("picto").model_dump(mode="json")
    shipped["categories"]["weapons"]["block"] = True
    (folder / "strict.yaml").write_text(repr(shipped).replace("None", "null").replace("True", "true"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [
        "demo",
        "--port",
        str(port),
        "--steps",
        "10",
        "--device",
        "cpu",
        "--policy",
        str(folder / "strict.yaml"),
    ]
    arguments += ["--no-verify"]  # who verifies draws what a low level leaves unsafe again at level 1
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GRADIO_TEMP_DIR": str(folder / "shown")}
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen([sys.executable, "-c", COMMAND, *arguments], stdout=log, stderr=log, env=environment)
        try:
            wait(lambda: "Ctrl-C ends it" in (folder / "log").read_text() or process.poll() is not None, 120)
            assert process.poll() is None, (folder / "log").read_text()
            yield f"http://127.0.0.1:{port}"
            first, *failures = (folder / "log").read_text().split("Exception in ASGI application")
            assert "Traceback" not in first
            # a file that grew while it was sent: gradio writes the same picture anew, as `fetched` knows
            assert all("Content-Length" in failure for failure in failures), failures
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)  # a new, empty profile
        yield found
        found.close()


@pytest.fixture
def opened(browser, address) -> Iterator[Callable[..., Any]]:
    """Opens the app in a window of its own; what goes wrong in the page, or leaves the machine, fails the test."""
    contexts, wrong = [], []

    def open_(width: int = 1280, height: int = 900, **look: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **look))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else wrong.append(r.url))
        page.goto(address)
        page.wait_for_selector("#draw:not([disabled])")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


def wait(ready: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "this took too long"
        time.sleep(0.1)


def draw(page: Any, prompt: str, **sliders: float) -> None:
    page.fill("#prompt textarea", prompt)
    for name, value in sliders.items():
        page.fill(f"#{name} input[type=number]", str(value))
        page.press(f"#{name} input[type=number]", "Tab")
    page.click("#draw")
    page.wait_for_selector("#cancel:not([disabled])")


def finish(page: Any) -> str:
    """Waits for the picture and returns the report."""
    page.wait_for_selector("#draw:not([disabled])", timeout=120_000)
    return page.inner_text("#report")


def sides(page: Any) -> list[Image.Image]:
    """What the page was sent for original and safe."""
    links = page.eval_on_selector_all("#pair img", "all => all.map(image => image.src)")
    return [fetched(page, link) for link in links]


def fetched(page: Any, link: str) -> Image.Image:
    """A picture by its address; asked for again where gradio is just writing the same file anew."""
    for _ in range(20):
        try:
            return Image.open(io.BytesIO(page.request.get(link).body())).convert("RGB")
        except (OSError, api.Error):
            page.wait_for_timeout(100)
    raise AssertionError(f"{link} is no picture")


def photograph(page: Any, name: str) -> None:
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(800)
    page.screenshot(path=IMAGES / name, full_page=True)


def full_tour(page: Any, plain: bool) -> None:
    """A picture, its ladder and its mask; the original `plain` or blurred."""
    draw(page, KNIFE)
    finish(page)
    page.click("#ladder")
    page.wait_for_selector("#cancel:not([disabled])")
    finish(page)
    page.check("#masked input")
    if plain:
        page.check("#plain input")
    wait(lambda: page.locator("#strip img").count() == 5)


def test_a_prompt_becomes_a_pair_and_the_dial_changes_it(opened):
    page = opened()
    draw(page, KNIFE)
    report = finish(page)
    assert "“knife” was replaced by “flower” because the policy “picto” names it under violence." in report
    assert "of the picture was allowed to change." in report and "passes through the model" in report
    original, safe = sides(page)
    page.focus("#level input[type=range]")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    page.click("#draw")
    page.wait_for_selector("#cancel:not([disabled])")
    assert "at level 0.5 (medium)" in finish(page)
    other_original, other_safe = sides(page)
    assert other_original == original and other_safe != safe
    page.locator("#history button").nth(1).click()
    wait(lambda: "at level 1 (max)" in page.inner_text("#report"))
    wait(lambda: sides(page)[1] == safe)


@pytest.mark.slow
def test_the_sharp_original_is_sent_only_when_asked_for(opened):
    page = opened()
    draw(page, KNIFE)
    finish(page)
    blurred, safe = sides(page)
    page.check("#plain input")
    wait(lambda: sides(page)[0] != blurred)
    sharp, _ = sides(page)
    detail = [np.abs(np.diff(np.asarray(picture, float), axis=1)).max() for picture in (blurred, sharp)]
    assert detail[0] < 0.2 * detail[1]
    page.uncheck("#plain input")
    wait(lambda: sides(page) == [blurred, safe])
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename.endswith(".zip")


@pytest.mark.slow
def test_a_long_drawing_can_be_cancelled_and_the_next_is_clean(opened):
    page = opened()
    draw(page, KNIFE)
    finish(page)
    before = sides(page)
    draw(page, KNIFE, level=0.2)
    page.wait_for_selector("text=/step \\d+ of 10/")
    page.click("#cancel")
    page.wait_for_selector("text=Nothing of it was kept")
    finish(page)
    assert sides(page) == before and page.locator("#history img").count() == 1
    draw(page, KNIFE, level=1)
    finish(page)
    assert sides(page) == before


def test_what_cannot_be_drawn_is_said_in_the_place_of_the_old_picture(opened):
    page = opened()
    draw(page, KNIFE)
    finish(page)
    for prompt, reason in (
        ("a cat holding a bomb", "blocks 'weapons', which 'bomb' asks for"),
        ("  ", "say what to draw"),
    ):
        draw(page, prompt)
        page.wait_for_selector(f"#report >> text={reason}")
        finish(page)
        assert page.locator("#pair img").count() == 0
        assert page.is_disabled("#download") and page.is_disabled("#ladder")
    draw(page, "a cat in a park")
    assert "Nothing in the prompt is named by the policy “picto” and the judge saw nothing in the picture" in finish(
        page
    )
    assert "Traceback" not in page.content()


@pytest.mark.slow
def test_a_category_may_have_its_own_level_and_a_reload_starts_afresh(opened):
    page = opened()
    page.click("text=Levels by category")
    page.get_by_label("violence", exact=True).check()
    wait(lambda: page.get_by_label("number input for violence").count() == 1)
    own = page.get_by_label("number input for violence")
    own.fill("0.3")
    own.press("Tab")
    page.wait_for_timeout(500)
    draw(page, KNIFE)
    assert "at level 0.3" in finish(page)
    page.reload()
    page.wait_for_selector("#draw:not([disabled])")
    assert page.locator("#pair img").count() == 0 and page.locator("#history img").count() == 0
    draw(page, KNIFE)
    assert "at level 1 (max)" in finish(page)


@pytest.mark.slow
def test_the_keyboard_alone_draws_and_moves_the_divider(opened):
    page = opened()
    page.focus("#prompt textarea")
    page.keyboard.type("a woman with a knife")
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector("#cancel:not([disabled])")
    finish(page)
    place = page.get_attribute("#pair [data-testid=slider]", "style")
    page.focus("#divider input[type=range]")
    page.keyboard.press("PageUp")
    wait(lambda: page.get_attribute("#pair [data-testid=slider]", "style") != place)
    page.focus("#masked input")
    plain = sides(page)[1]
    page.keyboard.press("Space")
    wait(lambda: sides(page)[1] != plain)


SMALL = """all => all.map(e => [e, e.getBoundingClientRect()])
    .filter(([e, r]) => r.width && (r.width < 24 || r.height < 24))
    .map(([e, r]) => `${e.tagName} ${e.type} ${e.className} ${r.width}x${r.height}`)"""


def faults(page: Any) -> list[str]:
    """What axe-core finds: contrasts, names, roles."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="no axe: pip install axe-playwright-python"
    )
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}
    found = axe.Axe().run(page, options=rules).response["violations"]
    return [f"{each['id']}: {node['html'][:120]} {node['failureSummary']}" for each in found for node in each["nodes"]]


def labels(page: Any) -> list[float]:
    """Share of the pair's lower corners, within the picture, that the labels' dark ground covers."""
    shot = Image.open(io.BytesIO(page.locator("#pair").screenshot())).convert("RGB")
    low = np.asarray(shot, int)[-30:-12]
    return [float((corner.max(-1) < 90).mean()) for corner in (low[:, 40:64], low[:, -50:-30])]


@pytest.mark.parametrize(
    "look", [{}, {"color_scheme": "dark"}, {"width": 390, "height": 844}], ids=["light", "dark", "phone"]
)
def test_everybody_can_read_and_hit_it(opened, look):
    page = opened(**look)
    draw(page, KNIFE)
    finish(page)
    page.click("text=Seed, steps, guidance")
    page.wait_for_timeout(500)
    assert all(dark > 0.25 for dark in labels(page)), labels(page)
    label = "getComputedStyle(document.querySelector('#pair'), '::{}').content"
    assert [page.evaluate(label.format(side)) for side in ("before", "after")] == ['"Original"', '"Safe"']
    assert faults(page) == []
    assert page.eval_on_selector_all("button, input:not([type=number]), textarea, a", SMALL) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("app.png", {}),
        ("app_dark.png", {"color_scheme": "dark"}),
        ("app_phone.png", {"width": 390, "height": 844, "device_scale_factor": 2, "has_touch": True}),
    ],
)
def test_it_fits_every_screen(opened, name, look):
    page = opened(**look)
    full_tour(page, plain=name == "app.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= look.get("width", 1280)
    dark = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).every(v => v < 60)"
    )
    assert dark == ("color_scheme" in look)
    photograph(page, name)
