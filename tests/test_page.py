"""The demo page of a trained project, in real Chromium, on a phone and on a desktop.

Each test fails if the page asks another origin for anything, or writes an error to the console.
Screenshots are kept in tests/screenshots.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import random
import re
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from conftest import ROOT, TRAINING, GeneratedProject, ask, clean_environment, free_port, wait_for
from PIL.Image import Image, fromarray
from PIL.Image import open as open_picture
from playwright.sync_api import Browser, Page, Request, expect

pytestmark = pytest.mark.slow

SCREENSHOTS = ROOT / "tests" / "screenshots"
PHONE, DESKTOP = (360, 740), (1280, 800)
VIEWS = [(size, scheme) for size in (PHONE, DESKTOP) for scheme in ("light", "dark")]
NAMES = [f"{size[0]}-{scheme}" for size, scheme in VIEWS]
every_view = pytest.mark.parametrize(("size", "scheme"), VIEWS, ids=NAMES)
HEAVIEST = 60_000  # bytes of HTML, CSS and JavaScript
PATIENCE = 30_000  # milliseconds that a busy machine may take
REWRITE = (
    "from pathlib import Path\n"
    "from coldstart.bundle import verify_bundle, write_checksums\n"
    "folder = Path('bundles/champion')\n"
    "manifest = verify_bundle(folder)\n"
    "Path('{plot}').rename(folder / '{plot}')\n"
    "write_checksums(folder, manifest)\n"
)


def add_plot(project: GeneratedProject, name: str) -> None:
    """Put a plot into the champion's bundle, with its checksum."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        size, check = struct.pack(">I", len(content)), struct.pack(">I", zlib.crc32(kind + content))
        return size + kind + content + check

    grey = zlib.compress(b"".join(b"\0" + bytes(range(0, 240, 4)) for _ in range(40)))
    parts = chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 8, 0, 0, 0, 0)), chunk(b"IDAT", grey)
    (project.path / name).write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IEND", b"")])
    )
    script = REWRITE.format(plot=name)
    done = project.run(project.python, "-c", script, PYTHONPATH="src")
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def serving(project: GeneratedProject, *arguments: str) -> Iterator[str]:
    """Run `serve`, and yield its address."""
    port = free_port()
    command = [str(project.python), "-m", project.package, "serve", "--serving.port", str(port)]
    environment = clean_environment() | {"PYTHONPATH": "src"}
    with subprocess.Popen([*command, *arguments], cwd=project.path, env=environment) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", server, 60)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def shown(trained: GeneratedProject, tmp_path_factory: pytest.TempPathFactory) -> GeneratedProject:
    """A copy of the trained project whose bundle has a plot."""
    project = trained.copy(tmp_path_factory.mktemp("shown") / trained.path.name)
    add_plot(project, "a_plot.png")
    return project


@pytest.fixture(scope="module")
def url(shown: GeneratedProject) -> Iterator[str]:
    """Its API's address."""
    with serving(shown) as address:
        yield address


@pytest.fixture(scope="module")
def pictures(trained: GeneratedProject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the API of a project that was trained on photos of bars, lying or standing."""
    folder = tmp_path_factory.mktemp("pictures")
    project = trained.copy(folder / trained.path.name, *TRAINING)
    dice = np.random.default_rng(0)
    for number in range(60):
        kind = ("lying", "standing")[number % 2]
        (folder / "bars" / kind).mkdir(parents=True, exist_ok=True)
        draw_bar(kind, dice).save(folder / "bars" / kind / f"{number}.jpg")
    for command in (
        ["data", "--source", str(folder / "bars")],
        ["train", "--models", '["linear"]'],
    ):
        done = project.command(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        project.run("git", "add", "--all")
        project.run("git", "commit", "--quiet", "--message", "Pictures")
    with serving(project) as address:
        yield address


def draw_bar(kind: str, dice: np.random.Generator, width: int = 160, height: int = 120) -> Image:
    """Draw a bright bar in noise."""
    pixels = dice.integers(0, 90, (height, width, 3), np.uint8)
    if kind == "lying":
        pixels[height * 2 // 5 : height * 3 // 5] += 150
    else:
        pixels[:, width * 2 // 5 : width * 3 // 5] += 150
    return fromarray(pixels)


@dataclass
class Opened:
    """The page in a browser, and what it did."""

    page: Page
    url: str
    requests: list[str]
    errors: list[str]

    def sent(self, act: Callable[[], object]) -> dict[str, Any]:
        """Return what the page sends to the API after an act, once it shows the prediction."""
        with self.page.expect_response("**/page/explain") as waiting:
            act()
        row: Any = waiting.value.request.post_data_json
        expect(self.page.locator("#prediction")).not_to_have_class("stale")
        return dict(row)

    def open_model(self) -> None:
        """Open the tab of the model."""
        self.page.get_by_role("tab", name="Model card").click()
        expect(self.page.locator("#card h2").first).to_be_visible()

    def no_violation(self) -> None:
        """Ask axe."""
        found = Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """`opened(url, size, scheme)`: the page with a prediction; `answers=False`: before."""
    made: list[Opened] = []

    def make(
        url: str, size: tuple[int, int] = PHONE, scheme: Any = "light", answers: bool = True
    ) -> Opened:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        one = Opened(page, url, [], [])
        made.append(one)
        page.on("request", lambda request: one.requests.append(request.url))
        page.on("pageerror", lambda error: one.errors.append(str(error)))
        page.on(
            "console",
            lambda said: one.errors.append(said.text) if said.type != "log" else None,
        )
        page.goto(f"{url}/")
        if answers:
            expect(page.locator("#explanation h2").first).to_be_attached()
        return one

    expect.set_options(timeout=PATIENCE)
    yield make
    for one in made:
        one.page.context.close()
        assert one.errors == []
        outside = [url for url in one.requests if not url.startswith((one.url, f"blob:{one.url}"))]
        assert outside == []


def as_shown(share: float) -> str:
    """A probability as the page writes it."""
    return f"{100 * share:.{0 if 0.1 < share < 0.9 else 1}f}%"


def text(page: Page, selector: str) -> str:
    """Return the text that is visible there."""
    return page.locator(selector).inner_text()


@every_view
def test_the_example_fills_the_form_and_what_is_typed_is_predicted_as_predict_does(
    opened: Callable[..., Opened], url: str, size: tuple[int, int], scheme: str
) -> None:
    seen = opened(url, size, scheme)
    page = seen.page
    about = ask(f"{url}/page/about")
    assert page.locator("#form .field").count() == len(about["columns"])
    row = seen.sent(lambda: page.locator(field(about, "height")).fill("1500"))
    assert row == about["example"] | {"height": 1500}
    seen.sent(lambda: page.locator(field(about, "speed")).fill("400"))
    row = seen.sent(lambda: page.locator(field(about, "phase_of_flt")).select_option("Climb"))
    assert row == about["example"] | {"height": 1500, "speed": 400, "phase_of_flt": "Climb"}
    (answer,) = ask(f"{url}/predict", {"rows": [row]})["predictions"]
    headline = text(page, "#prediction").split("\n")
    assert headline[1] == about["labels"].get(answer["label"], answer["label"])
    assert headline[2] == f"Probability {as_shown(answer['probability'])}"
    assert as_shown(answer["probabilities"]["true"]) in text(
        page, "#explanation section:first-child .note"
    )
    contributions = page.locator(".contributions li").all_inner_texts()
    assert len(contributions) == len(about["columns"])
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    seen.no_violation()
    SCREENSHOTS.mkdir(exist_ok=True)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOTS / f"ask-{size[0]}-{scheme}.png", full_page=True)


def field(about: dict[str, Any], name: str) -> str:
    """Selector of a column's control."""
    return f"#f{[column['name'] for column in about['columns']].index(name)}"


@every_view
def test_a_picture_is_chosen_shown_and_predicted_as_predict_does(
    opened: Callable[..., Opened],
    pictures: str,
    size: tuple[int, int],
    scheme: str,
    tmp_path: Path,
) -> None:
    seen = opened(pictures, size, scheme)
    page, dice = seen.page, np.random.default_rng(1)
    control, preview = page.locator("#form input[type=file]"), page.locator("#form img")
    for kind in ("lying", "standing"):
        file = tmp_path / f"{kind}.jpg"
        draw_bar(kind, dice).save(file)
        row = seen.sent(lambda file=file: control.set_input_files(file))  # type: ignore[misc]
        assert row == {"picture": base64.b64encode(file.read_bytes()).decode()}
        (answer,) = ask(f"{pictures}/predict", {"rows": [row]})["predictions"]
        assert answer["label"] == text(page, "#prediction strong") == kind
        expect(preview).to_be_visible()
        assert (
            preview.evaluate(
                "async (shown) => { await shown.decode(); return shown.naturalWidth; }"
            )
            == 160
        )
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    seen.no_violation()
    page.screenshot(path=SCREENSHOTS / f"picture-{size[0]}-{scheme}.png", full_page=True)


def test_a_picture_that_is_too_large_is_made_smaller_and_what_is_none_is_refused(
    opened: Callable[..., Opened], pictures: str, tmp_path: Path
) -> None:
    seen = opened(pictures)
    control = seen.page.locator("#form input[type=file]")
    large, none = tmp_path / "large.png", tmp_path / "none.png"
    draw_bar("standing", np.random.default_rng(2), 2400, 1800).save(large)
    assert large.stat().st_size > 8_000_000  # which the API would refuse
    row = seen.sent(lambda: control.set_input_files(large))
    with open_picture(io.BytesIO(base64.b64decode(row["picture"]))) as sent:
        assert (sent.format, sent.size) == ("JPEG", (1600, 1200))
    assert text(seen.page, "#prediction strong") == "standing"
    none.write_text("no picture")
    with seen.page.expect_response("**/page/explain"):
        control.set_input_files(none)
    expect(seen.page.locator("#form .error")).to_have_text(
        "it is no JPEG, PNG, WEBP, TIFF, BMP or GIF"
    )
    expect(seen.page.locator("#form img")).to_be_hidden()
    seen.no_violation()
    seen.errors.clear()  # the browser's line about the response 422


def test_nothing_is_cut_off_at_any_width(opened: Callable[..., Opened], url: str) -> None:
    page = opened(url).page
    for width in range(320, 1400, 60):
        page.set_viewport_size({"width": width, "height": 800})
        cut = page.evaluate(
            """() => [...document.querySelectorAll(".field *")].filter((part) => {
                const end = (one) => one.getBoundingClientRect().right;
                return end(part) > end(part.closest(".field")) + 1;
            }).map((part) => part.outerHTML)"""
        )
        assert cut == [], width
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_each_of_three_examples_fills_the_form_and_shows_the_outcome(
    opened: Callable[..., Opened], url: str
) -> None:
    seen = opened(url)
    about = ask(f"{url}/page/about")
    labels, examples = about["labels"], about["examples"]
    assert [one["kind"] for one in examples] == ["correct", "incorrect", "uncertain"]
    buttons = seen.page.locator("#example-buttons button").all()
    for one, button in zip(examples, buttons, strict=True):
        assert seen.sent(button.click) == one["row"]
        assert button.get_attribute("aria-pressed") == "true"
        shown = text(seen.page, "#example")
        label = one["prediction"]["label"]
        assert f"Outcome: {labels.get(one['outcome'], one['outcome'])}." in shown
        assert f"not fitted on this row: {labels.get(label, label)} (probability" in shown
        assert text(seen.page, "#prediction strong") == labels.get(label, label)
    seen.no_violation()


@every_view
def test_the_other_tab_shows_the_card_and_the_plots_once_it_is_opened(
    opened: Callable[..., Opened], url: str, size: tuple[int, int], scheme: str
) -> None:
    seen = opened(url, size, scheme)
    assert not [one for one in seen.requests if "card" in one or "plots" in one]
    seen.open_model()
    assert "Metrics" in seen.page.locator("#card h3").all_inner_texts()
    assert re.search("95 ?%", text(seen.page, "#card"))
    image = seen.page.get_by_role("img", name="Plot: a plot")
    expect(image).to_be_visible()
    # Not wait_for_function: it evaluates its text anew in the page, whose policy forbids that.
    seen.page.evaluate("Promise.all([...document.images].map((one) => one.decode()))")
    assert seen.page.evaluate("document.documentElement.scrollWidth") == size[0]
    seen.no_violation()
    SCREENSHOTS.mkdir(exist_ok=True)
    seen.page.screenshot(path=SCREENSHOTS / f"model-{size[0]}-{scheme}.png", full_page=True)


def test_the_keyboard_alone_reaches_and_changes_everything(
    opened: Callable[..., Opened], url: str
) -> None:
    seen = opened(url)
    page, keyboard = seen.page, seen.page.keyboard
    example = ask(f"{url}/page/about")["example"]
    numbered = "[...document.querySelectorAll('button, input, select, textarea, summary, a')]"
    wanted = f"{numbered}.map((one, i) => [one, i]).filter(([one]) => one.checkVisibility()"
    there = set(page.evaluate(f"{wanted} && one.tabIndex >= 0).map(([, i]) => i)"))
    reached = set[int]()
    rows = [example]

    def note(request: Request) -> None:
        if "explain" in request.url:
            rows.append(request.post_data_json)

    page.on("request", note)
    for _ in range(len(there) + 5):
        keyboard.press("Tab")
        kind, number, inside = page.evaluate(
            f"(one => [one.type ?? '', {numbered}.indexOf(one), !!one.closest('#form')])"
            "(document.activeElement)"
        )
        if number in reached:
            break
        if number < 0:
            continue
        reached.add(number)
        value = "document.activeElement.checked + document.activeElement.value"
        before = page.evaluate(value)
        if inside and kind == "text":
            keyboard.press("Control+a")
            keyboard.type("3")
        elif inside and kind == "checkbox":
            keyboard.press("Space")
            assert page.evaluate(value) != before
            keyboard.press("Space")
        elif inside:
            keyboard.press("ArrowUp" if kind == "range" else "ArrowDown")
            if page.evaluate(value) == before:  # it was the last
                keyboard.press("ArrowUp")
        if inside and kind != "checkbox":
            assert page.evaluate(value) != before
    assert reached >= there
    limit = time.monotonic() + PATIENCE / 1000
    while same := [name for name, value in example.items() if rows[-1][name] == value]:
        assert time.monotonic() < limit, f"the keyboard did not change {same}"
        page.wait_for_timeout(100)

    page.locator("#tab-predict").focus()
    keyboard.press("ArrowRight")
    expect(page.locator("#card h2").first).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "tab-model"
    keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "model"


def test_unknown_is_sent_as_missing_and_the_value_comes_back(
    opened: Callable[..., Opened], url: str
) -> None:
    seen = opened(url)
    example = ask(f"{url}/page/about")["example"]
    unknown = seen.page.get_by_role("checkbox", name="Height above ground: unknown")
    assert seen.sent(unknown.check)["height"] is None
    assert seen.sent(unknown.uncheck)["height"] == example["height"]
    phase = seen.page.get_by_label("Phase of flight")
    assert seen.sent(lambda: phase.select_option("unknown"))["phase_of_flt"] is None


def test_a_wrong_value_gets_the_apis_words_beside_its_control(
    opened: Callable[..., Opened], url: str
) -> None:
    seen = opened(url)
    height = seen.page.get_by_label("Height above ground", exact=True)
    told = seen.page.locator(".field", has_text="Height above ground").locator(".error")
    for value, words in (
        ("99999", "Input should be less than or equal to 45000"),
        ("high", "Input should be a valid number"),
    ):
        with seen.page.expect_response("**/page/explain"):
            height.fill(value)
        expect(told).to_have_text(words)
        expect(height).to_have_attribute("aria-invalid", "true")
        expect(seen.page.locator("#prediction")).to_contain_text("No prediction")
        seen.no_violation()
    seen.sent(lambda: height.fill("100,5"))
    expect(told).to_be_empty()
    expect(seen.page.locator("#prediction strong")).to_be_visible()
    assert len(seen.errors) == 2  # the browser itself logs each response with status 422
    assert all("422" in error for error in seen.errors)
    seen.errors.clear()


def test_the_page_is_light_and_painted_at_once(opened: Callable[..., Opened], url: str) -> None:
    seen = opened(url)
    sizes = dict[str, int]()
    for address in dict.fromkeys(seen.requests):
        if address.endswith(("/", ".css", ".js", ".svg")):
            sizes[address.removeprefix(url)] = len(seen.page.request.get(address).body())
    assert {Path(name).suffix for name in sizes} >= {"", ".css", ".js"}
    paint = seen.page.evaluate(
        "performance.getEntriesByType('paint').map((one) => `${one.name} ${one.startTime} ms`)"
    )
    print(f"{sum(sizes.values())} bytes: {sizes}; {', '.join(paint)}")
    assert sum(sizes.values()) < HEAVIEST


LONG = "total_floor_area_of_the_building_in_square_metres"
KINDS = ["Ordinary household rubbish that nobody takes", "glass", "metal", "paper", "wood", "oil"]


@pytest.mark.parametrize("task", ["classes", pytest.param("quantity", marks=pytest.mark.weekly)])
def test_many_classes_quantities_and_long_names_fit_a_phone(
    task: str, opened: Callable[..., Opened], installed: GeneratedProject, tmp_path: Path
) -> None:
    project = installed.copy(tmp_path / installed.path.name, *TRAINING)
    dice = random.Random(0)
    lines = [f"{LONG},new,tiny,answer"]
    for _ in range(600):
        area, new = dice.gauss(120_000, 40_000), dice.random() < 0.5
        kind = KINDS[int(area / 40_000) % len(KINDS)]
        answer = kind if task == "classes" else 3.5 * area + 80_000 * new
        lines.append(f"{area},{new if dice.random() < 0.9 else ''},{dice.random() / 1e5},{answer}")
    target: dict[str, Any] = {"type": "category"}
    if task == "quantity":
        target = {"type": "number", "unit": "EUR"}
    columns = {
        LONG: {"type": "number", "unit": "m²"},
        "new": {"type": "boolean", "description": "Whether it is new"},
        "tiny": {"type": "number", "unit": "mol/l"},
        "answer": {**target, "role": "target", "nullable": False},
    }
    (project.path / "data/raw/t.csv").write_text("\n".join(lines) + "\n")
    (project.path / "schema.yaml").write_text(yaml.safe_dump({"columns": columns}))
    config = {"data": {"table": "data/raw/t.csv"}, "models": ["linear"]}
    (project.path / "config.yaml").write_text(yaml.safe_dump(config))
    done = project.command("train", PYTHONPATH="src")
    assert done.returncode == 0, done.stderr
    with serving(project) as url:
        for scheme in ("light", "dark"):
            seen = opened(url, PHONE, scheme)
            page = seen.page
            wide = page.locator(".contributions li > *, .head > *, .scale").evaluate_all(
                "(all) => all.filter((one) => one.scrollWidth > one.clientWidth + 1)"
                ".map((one) => one.outerHTML)"
            )
            assert wide == []
            assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
            seen.no_violation()
            SCREENSHOTS.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"{task}-360-{scheme}.png", full_page=True)
            seen.open_model()
            assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
            seen.no_violation()
            page.screenshot(path=SCREENSHOTS / f"{task}-model-360-{scheme}.png", full_page=True)


def test_below_a_path_the_page_asks_for_nothing_elsewhere(
    opened: Callable[..., Opened], browser: Browser, url: str
) -> None:
    page = browser.new_page()
    page.route(
        "**/below/**", lambda route: route.continue_(url=route.request.url.replace("/below", ""))
    )
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{url}/below/#model")
    expect(page.get_by_role("img", name="Plot: a plot")).to_be_visible()
    assert len(requests) > 5
    assert all(one.startswith((f"{url}/below/", "blob:")) for one in requests)
    page.close()


def test_where_a_key_is_needed_the_page_has_a_field_for_it(
    opened: Callable[..., Opened], shown: GeneratedProject, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.txt"
    done = shown.command("key", "--name", "ann", "--file", str(keys), PYTHONPATH="src")
    with serving(shown, "--serving.keys", str(keys)) as address:
        seen = opened(address, answers=False)
        key = seen.page.get_by_label("This API needs a key")
        expect(key).to_be_focused()
        key.fill("wrong")
        key.press("Enter")
        expect(seen.page.locator("#key-error")).to_contain_text("a key is needed")
        seen.no_violation()
        key.fill(done.stdout.strip())
        key.press("Enter")
        expect(seen.page.locator("#explanation h2").first).to_be_attached()
        expect(key).to_be_hidden()
        seen.open_model()
        expect(seen.page.get_by_role("img", name="Plot: a plot")).to_be_visible()
        assert seen.errors
        assert all("401" in error for error in seen.errors)
        seen.errors.clear()


def test_a_page_that_is_open_shows_the_model_that_takes_over(
    opened: Callable[..., Opened], trained: GeneratedProject, tmp_path: Path
) -> None:
    project = trained.copy(tmp_path / trained.path.name)
    with serving(project) as address:
        seen = opened(address)
        version = project.path / "bundles/champion/version.json"
        version.write_text(json.dumps(json.loads(version.read_text()) | {"version": "99"}))
        add_plot(project, "newest.png")
        limit = time.monotonic() + PATIENCE / 1000
        while ask(f"{address}/model")["version"] != "99":
            assert time.monotonic() < limit, "the new bundle was not loaded"
            time.sleep(0.2)
        seen.sent(lambda: seen.page.get_by_label("Height above ground", exact=True).fill("70"))
        expect(seen.page.locator("#version")).to_contain_text("version 99")
        seen.open_model()
        expect(seen.page.get_by_role("img", name="Plot: newest")).to_be_visible()


def test_mlflow_opens_at_the_runs_with_their_scores(
    shown: GeneratedProject, browser: Browser
) -> None:
    command = [str(shown.python), "-m", shown.package, "ui", "--port", str(free_port())]
    page = browser.new_page(viewport={"width": 1700, "height": 800})
    with subprocess.Popen(
        command, cwd=shown.path, env=clean_environment(), stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout
            lines = (line for line in server.stdout if line.startswith("MLflow: http"))
            address = next(lines).split()[1]
            page.goto(address)
            expect(page.get_by_role("heading", name="Runs")).to_be_visible(timeout=PATIENCE)
            expect(page.get_by_text("Sort: validation_average_precision")).to_be_visible()
            heads = page.get_by_role("columnheader")
            for name in ("Run Name", "Description", "test_average_precision"):
                expect(heads.filter(has_text=name).first).to_be_visible(timeout=PATIENCE)
        finally:
            server.terminate()
            page.close()
