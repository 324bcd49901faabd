"""The portfolio page of a trained project, below a path of a file server, in real Chromium.

Its demo shows recorded predictions; `engine/portfolio/test_live.py` has the model in the browser.

Each test fails if a page asks another origin for anything, or writes an error to the console.
Screenshots are kept in tests/screenshots.
"""

from __future__ import annotations

import functools
import http.server
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import GeneratedProject, ask
from playwright.sync_api import Browser, Page, expect
from test_page import PATIENCE, PHONE, SCREENSHOTS, as_shown, every_view, field, serving, text

pytestmark = pytest.mark.slow

HEAVIEST = 250_000  # bytes of everything but plots
STORY = """# Bird strikes

Will a bird strike disrupt the flight?

## The data

Pilots reported them, on paper, for ten years.

<!-- fact: pipeline -->

![Where it is sure](docs/plot.png)

## How good it is

<!-- fact: results -->
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def written(
    trained: GeneratedProject, tmp_path_factory: pytest.TempPathFactory
) -> GeneratedProject:
    """A copy of the trained project with its page."""
    project = trained.copy(tmp_path_factory.mktemp("written") / trained.path.name)
    (project.path / "STORY.md").write_text(STORY)
    (project.path / "docs").mkdir(exist_ok=True)
    plot = project.path / "bundles/champion/calibration.png"
    (project.path / "docs/plot.png").write_bytes(plot.read_bytes())
    print(project.make("pages", "LIVE=0", PYTHONPATH="src").stdout)
    return project


@pytest.fixture(scope="module")
def url(written: GeneratedProject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page's address, below a path, as GitHub has it."""
    root = tmp_path_factory.mktemp("www")
    (root / "bird-strikes").symlink_to(written.path / "site")
    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/bird-strikes"
        server.shutdown()


@pytest.fixture(scope="module")
def api(written: GeneratedProject) -> Iterator[str]:
    """The address of the same model's API."""
    with serving(written) as address:
        yield address


@pytest.fixture
def opened(browser: Browser, url: str) -> Iterator[Callable[..., Page]]:
    """`opened(path, size, scheme)`: a page of the site."""
    pages = list[Page]()
    requests, errors = list[str](), list[str]()

    def make(path: str, size: tuple[int, int] = PHONE, scheme: Any = "light") -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
        )
        page = context.new_page()
        pages.append(page)
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text))
        page.goto(f"{url}/{path}")
        return page

    expect.set_options(timeout=PATIENCE)
    yield make
    for page in pages:
        page.context.close()
    assert errors == []
    assert [one for one in requests if not one.startswith((f"{url}/", f"blob:{url[:16]}"))] == []


def looked_at(page: Page, name: str) -> None:
    """Ask axe, see that nothing is too wide, and keep a picture."""
    for image in page.locator("img").all():
        expect(image).not_to_have_js_property("naturalWidth", 0)
    width = page.evaluate("innerWidth")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    scheme = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)


def same(page: Page, about: dict[str, Any], answer: dict[str, Any]) -> None:
    """See that a page shows what the API returns."""
    prediction, labels = answer["prediction"], about["labels"]
    subject, label = (labels.get(one, one) for one in (answer["subject"], prediction["label"]))
    value = (
        f"probability of \N{LEFT DOUBLE QUOTATION MARK}{subject}\N{RIGHT DOUBLE QUOTATION MARK} is "
    )
    note = page.locator("#explanation .note").first
    expect(note).to_contain_text(f"{value}{as_shown(answer['value'])}:")
    expect(page.locator("#prediction strong")).to_have_text(label)
    headline = text(page, "#prediction").split("\n")
    assert headline[2] == f"Probability {as_shown(prediction['probability'])}"
    # The texts of a closed <details> can be read, and the page may be drawing them anew.
    items = page.locator("#explanation .contributions li")
    contributions = answer["contributions"]["by_feature"].values()
    expected = sorted((100 * by for by in contributions), key=abs, reverse=True)
    limit = time.monotonic() + PATIENCE / 1000
    shown: list[float] = []
    while shown != pytest.approx(expected, abs=0.051) and time.monotonic() < limit:
        lines = items.evaluate_all("items => items.map(item => item.lastChild.textContent)")
        shown = [float(by.replace("\N{MINUS SIGN}", "-")) for by in lines]
    assert shown == pytest.approx(expected, abs=0.051)


@every_view
def test_the_story_shows_its_text_the_pipeline_and_the_results(
    opened: Callable[..., Page], written: GeneratedProject, size: tuple[int, int], scheme: str
) -> None:
    page = opened("", size, scheme)
    assert text(page, "h1") == "Bird strikes"
    assert "on paper, for ten years" in text(page, "main")
    assert page.locator(".pipeline li").count() == 6
    assert "19,302 rows" in text(page, ".pipeline")
    card = (written.path / "bundles/champion/MODEL_CARD.md").read_text()
    (family,) = re.findall(r"^# Model card: (.*)$", card, re.MULTILINE)
    assert re.search(rf"{family}, version \d+, the champion", text(page, "table"))
    expect(page.get_by_role("img", name="Where it is sure")).to_be_visible()
    looked_at(page, "story")
    page.get_by_role("link", name="Model card").click()
    expect(page.locator("#card h2")).to_have_text(f"Model card: {family}")
    page.get_by_role("link", name="About this project").click()
    page.get_by_role("link", name="Try the model").click()
    expect(page.locator("#prediction strong")).to_be_visible()


@every_view
def test_an_example_and_a_change_of_it_are_predicted_as_the_api_does(
    opened: Callable[..., Page], api: str, size: tuple[int, int], scheme: str
) -> None:
    page = opened("demo.html", size, scheme)
    about = ask(f"{api}/page/about")
    buttons = page.locator("#example-buttons button")
    expect(buttons).to_have_count(3)
    for example, button in zip(about["examples"], buttons.all(), strict=True):
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        outcome = about["labels"].get(example["outcome"], example["outcome"])
        expect(page.locator("#example")).to_contain_text(f"Outcome: {outcome}.")
        answer = ask(f"{api}/page/explain", example["row"])
        same(page, about, answer)
    before = answer
    row = example["row"]

    phase = page.locator(field(about, "phase_of_flt"))
    other = next(one for one in ("Climb", "Approach") if one != row["phase_of_flt"])
    phase.select_option(other)
    answer = ask(f"{api}/page/explain", {**row, "phase_of_flt": other})
    assert answer["value"] != before["value"]
    same(page, about, answer)
    looked_at(page, "recorded")

    height = page.locator(field(about, "height"))
    slider = page.get_by_role("slider", name="Height above ground, slider")
    slider.press("ArrowRight")
    told = page.locator("#prediction")
    expect(told).to_contain_text("recorded predictions for one change at a time")
    expect(page.locator("#explanation")).to_be_hidden()
    looked_at(page, "unrecorded")

    button.click()
    slider.press("ArrowRight")
    value = float(height.input_value())
    assert value != row["height"]
    answer = ask(f"{api}/page/explain", {**row, "height": value})
    same(page, about, answer)
    height.fill("1234.5")
    expect(told).to_contain_text("height was recorded for these values: ")


@every_view
def test_the_other_tab_has_the_card_and_the_plots(
    opened: Callable[..., Page], written: GeneratedProject, size: tuple[int, int], scheme: str
) -> None:
    page = opened("demo.html#model", size, scheme)
    expect(page.locator("#card h3").first).to_be_visible()
    assert re.search("95 ?%", text(page, "#card"))
    plots = {path.stem for path in (written.path / "bundles/champion").glob("*.png")}
    expect(page.locator("#plots img")).to_have_count(len(plots))
    assert plots
    looked_at(page, "recorded-model")


def test_the_page_is_light(written: GeneratedProject) -> None:
    files = [path for path in (written.path / "site").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files if path.suffix != ".png")
    print(f"{size} bytes without plots")
    assert 0 < size < HEAVIEST
