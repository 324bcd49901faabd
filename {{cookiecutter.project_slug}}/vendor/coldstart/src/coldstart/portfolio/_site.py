"""The site: the story, and the demo page with a record in the place of its API."""

from __future__ import annotations

import json
import shutil
from html import escape
from pathlib import Path
from string import Template

import pydantic_core

from coldstart.bundle._bundle import MANIFEST, checksum, replace_folder, verify_bundle
from coldstart.bundle._predictor import BundlePredictor
from coldstart.config._settings import Settings
from coldstart.errors import UserError
from coldstart.portfolio._recording import record
from coldstart.portfolio._story import Story, tell
from coldstart.report._picture import Stages
from coldstart.report._report import shown
from coldstart.serve.page._bundle_files import card, kept, plots
from coldstart.serve.page._routes import POLICY
from coldstart.serve.page._routes import STATIC as PAGE
from coldstart.tracking._registry import BUNDLES, CHAMPION

SITE, STORY = Path("site"), Path("STORY.md")
RECORD = Path("page/recorded.json")
STATIC, BEGUN = Path(__file__).parent / "static", Path(__file__).parent / "story.md"
META = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
NOTE = (
    "There is no server behind this page: it shows what version {} answered when it was made. "
    "From each of the rows below, one input at a time can be changed to a recorded value."
)


def write(settings: Settings) -> None:
    """Write the site anew; an older one is there until the new one is whole.

    Raises
    ------
    UserError
        If there is no champion to show, the story cannot be told, or `site` holds something else.
    """
    if SITE.exists() and not (SITE / RECORD).is_file():
        raise UserError(f"{SITE} holds something that make pages did not write: move it away")
    found = shown(settings)
    predictor = BundlePredictor(found.folder)
    if not STORY.exists():
        shutil.copyfile(BEGUN, STORY)
        print(f"{STORY}: begun; write it, and run this again")
    story = tell(STORY, {"results": found.results}, {"way": drawn(found.stages)})
    folder = SITE.with_name(f".{SITE}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    fill(folder, predictor, story)
    replace_folder(folder, SITE)

    if story.unwritten:
        print(f"{STORY} says nothing yet of: {', '.join(story.unwritten)}; that is left out")
    files = [path for path in SITE.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files if path.suffix != ".png")
    print(f"{SITE}: version {predictor.number}, {size / 1000:.0f} kB and {len(plots(predictor))} plots")
    print(f"look at it: python3 -m http.server --bind 127.0.0.1 --directory {SITE} 8001")


def check() -> int:
    """Say whether the site shows the champion; the exit code is 1 if it does not.

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
    if recorded["seal"] == checksum(BUNDLES / CHAMPION / MANIFEST):
        print(f"{SITE} shows the champion, version {recorded['version']}")
        return 0
    print(f"{SITE} shows version {recorded['version']}, another than the champion; run: make pages")
    return 1


def fill(folder: Path, predictor: BundlePredictor, story: Story) -> None:
    """Write all files, below the addresses that the API has for them."""
    recorded = record(predictor)
    own = {file.name for file in STATIC.iterdir()}
    files: dict[Path, bytes] = {
        Path("index.html"): index(story, recorded["about"]["target"]),
        Path("demo.html"): demo(predictor.number),
        RECORD: pydantic_core.to_json(recorded),
        Path("page/card"): card(predictor).encode(),
    }
    for file in (*PAGE.iterdir(), *STATIC.iterdir()):
        if file.suffix != ".html" and (file.parent == STATIC or file.name not in own):
            files[Path("page", file.name)] = file.read_bytes()
    for name in plots(predictor):
        files[Path("page/plots", predictor.seal, name)] = kept(predictor, name) or b""
    for place, picture in story.pictures.items():
        files[place] = picture.read_bytes()
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def index(story: Story, target: str) -> bytes:
    """The page that opens."""
    page = Template((STATIC / "index.html").read_text(encoding="utf-8"))
    return page.substitute(
        policy=META,
        title=escape(story.title),
        lead=escape(story.lead),
        target=escape(target.replace("_", " ")),
        story=story.html,
    ).encode()


def demo(version: str) -> bytes:
    """The API's page, as one that has no API."""
    page = (PAGE / "page.html").read_text(encoding="utf-8")
    note = f'<p class="note">{escape(NOTE.format(version))}</p>'
    for old, new in {
        '<meta charset="utf-8">': f'<meta charset="utf-8">\n{META}',
        '<p id="lead"></p>': f'<p id="lead"></p>\n  {note}',
        ' The API is described at <a href="docs">docs</a>.': "",
        '<a href="docs">The API&rsquo;s documentation</a>': '<a href="index.html">The story</a>',
    }.items():
        before, there, after = page.partition(old)
        assert there, f"page.html holds no {old}"
        page = before + new + after
    return page.encode()


def drawn(stages: Stages) -> str:
    """The picture of the way as HTML."""
    nodes = [
        f"<li><strong>{escape(first)}</strong>{''.join(f'<br>{escape(one)}' for one in rest)}</li>"
        for first, *rest in stages.values()
    ]
    return f'<ol class="way">{"".join(nodes)}</ol>\n'
