"""The site: the story, and the demo page with the model or recorded predictions for its API."""

from __future__ import annotations

import json
import shutil
from html import escape
from pathlib import Path
from string import Template

import pydantic_core

from coldstart._writing import write_whole
from coldstart.bundle._bundle import MANIFEST, MODEL, checksum, replace_folder, verify_bundle
from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._settings import Settings
from coldstart.errors import UserError
from coldstart.portfolio._live import describe_live, obstacle
from coldstart.portfolio._recording import record
from coldstart.portfolio._runtime import RuntimeMissingError, runtime_files
from coldstart.portfolio._story import Story, read_story
from coldstart.report._picture import Stages
from coldstart.report._report import collect
from coldstart.serve.page._bundle_files import card, plots, read_file
from coldstart.serve.page._routes import POLICY
from coldstart.serve.page._routes import STATIC as PAGE
from coldstart.tracking._registry import BUNDLES, CHAMPION

SITE, STORY = Path("site"), Path("STORY.md")
RECORD = Path("page/recorded.json")
STATIC, OUTLINE = Path(__file__).parent / "static", Path(__file__).parent / "story.md"
META = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
LIVE_META = META.replace("default-src", "script-src 'self' 'wasm-unsafe-eval'; default-src")
LIVE_NOTE = (
    "This page has no server: model version {} runs in your browser, and what you type stays there."
)
NOTE = (
    "This page has no server: it shows recorded predictions of model version {}. You can change "
    "one field at a time of each example below, to a recorded value."
)


def write_site(settings: Settings, live: bool = True) -> None:
    """Write the site anew; an older one stays until the new one is whole.

    Parameters
    ----------
    settings : Settings
        Of the project.
    live : bool, default=True
        Whether the model itself is part of the site, if a browser can run it.

    Raises
    ------
    UserError
        If there is no champion to show, the story cannot be read, or `site` holds something else.
    """
    if SITE.exists() and not (SITE / RECORD).is_file():
        raise UserError(f"{SITE} holds files that make pages did not write: move it away")
    found = collect(settings)
    predictor = BundlePredictor(found.folder)
    title = settings.serving.title or settings.project.title
    if not STORY.exists():
        outline = Template(OUTLINE.read_text(encoding="utf-8"))
        write_whole(STORY, outline.substitute(title=title))
        print(f"{STORY}: an outline was written; fill it in, then run make pages again")
    facts = {"results": found.results}
    story = read_story(STORY, facts, {"pipeline": pipeline_html(found.stages)})
    folder = SITE.with_name(f".{SITE}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    model = live_files(predictor, title) if live else {}
    try:
        write_files(folder, predictor, story, title, model)
        replace_folder(folder, SITE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

    if story.empty:
        print(f"{STORY}: sections without text are left out: {', '.join(story.empty)}")
    files = [path for path in SITE.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files if path.suffix != ".png")
    count = len(plots(predictor))
    print(f"{SITE}: model version {predictor.number}, {size / 1000:.0f} kB and {count} plots")
    print(f"to open it: python3 -m http.server --bind 127.0.0.1 --directory {SITE} 8001")


def check_site() -> int:
    """Print whether the site shows the champion.

    Returns
    -------
    int
        Exit code: 1 if it shows another version.

    Raises
    ------
    UserError
        If there is no site, or no champion here.
    """
    try:
        recorded = json.loads((SITE / RECORD).read_bytes())["about"]
    except OSError:
        raise UserError(f"there is no {SITE} yet; run: make pages") from None
    verify_bundle(BUNDLES / CHAMPION)
    if recorded["fingerprint"] == checksum(BUNDLES / CHAMPION / MANIFEST):
        print(f"{SITE} shows the champion, version {recorded['version']}")
        return 0
    print(f"{SITE} shows version {recorded['version']}, not the champion; run: make pages")
    return 1


def live_files(predictor: BundlePredictor, title: str) -> dict[Path, bytes]:
    """Return the files by which a browser runs the model; none, and say why, if it cannot."""
    reason = obstacle(predictor)
    try:
        runtime = {} if reason else runtime_files()
    except RuntimeMissingError as error:
        reason = str(error)
    if reason:
        print(f"the demo shows recorded predictions alone: {reason}")
        return {}
    described = pydantic_core.to_json(describe_live(predictor, title))
    graph = read_file(predictor, MODEL) or b""
    files = {**runtime, "live.json": described, MODEL: graph}
    return {Path("page", name): content for name, content in files.items()}


def write_files(
    folder: Path, predictor: BundlePredictor, story: Story, title: str, model: dict[Path, bytes]
) -> None:
    """Write all files, below the addresses that the API has for them."""
    recorded = record(predictor, title) | {"live": bool(model)}
    own = {file.name for file in STATIC.iterdir()}
    files: dict[Path, bytes] = {
        Path("index.html"): index_page(story, recorded["about"]["target"]),
        Path("demo.html"): demo_page(predictor.number, bool(model)),
        RECORD: pydantic_core.to_json(recorded),
        Path("page/card"): card(predictor).encode(),
        **model,
    }
    for file in (*PAGE.iterdir(), *STATIC.iterdir()):
        if file.suffix != ".html" and (file.parent == STATIC or file.name not in own):
            files[Path("page", file.name)] = file.read_bytes()
    for name in plots(predictor):
        plot = read_file(predictor, name) or b""
        files[Path("page/plots", predictor.fingerprint, name)] = plot
    for place, picture in story.pictures.items():
        files[place] = picture.read_bytes()
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def index_page(story: Story, target: str) -> bytes:
    """Return the page that opens first."""
    page = Template((STATIC / "index.html").read_text(encoding="utf-8"))
    return page.substitute(
        policy=META,
        title=escape(story.title),
        lead=escape(story.lead),
        target=escape(target.replace("_", " ")),
        story=story.html,
    ).encode()


def demo_page(version: str, live: bool) -> bytes:
    """Return the API's page without links to an API."""
    page = (PAGE / "page.html").read_text(encoding="utf-8")
    text = escape((LIVE_NOTE if live else NOTE).format(version))
    note = f'<p class="note" id="served">{text}</p>'
    for old, new in {
        '<meta charset="utf-8">': f'<meta charset="utf-8">\n{LIVE_META if live else META}',
        '<p id="lead"></p>': f'<p id="lead"></p>\n  {note}',
        ' The API is described at <a href="docs">docs</a>.': "",
        '<a href="docs">API documentation</a>': '<a href="index.html">About this project</a>',
    }.items():
        before, there, after = page.partition(old)
        assert there, f"page.html holds no {old}"
        page = before + new + after
    return page.encode()


def pipeline_html(stages: Stages) -> str:
    """Return the stages of the pipeline as HTML."""
    nodes = [
        f"<li><strong>{escape(first)}</strong>{''.join(f'<br>{escape(one)}' for one in rest)}</li>"
        for first, *rest in stages.values()
    ]
    return f'<ol class="pipeline">{"".join(nodes)}</ol>\n'
