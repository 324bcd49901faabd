"""docs/demo.png: what `make demo` prints, beside the page that it serves."""

from __future__ import annotations

import base64
import html
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs/demo.png"
PAGE: ViewportSize = {"width": 980, "height": 930}  # in two columns: the form, and the answer
SHARPER = 1.2  # pixels of the picture for each of the README's

LEFT_OUT = (
    r"^(generated |making |WARNING|installing |project |the servers keep)",
    r"^(neural: global batch| {20}|single feature|dummy baseline|\w+, version)",
    r"^\s*$",
)
"""Lines for which there is no room: the environment's, and those of a wide table."""

FRAME = """<!doctype html><meta charset="utf-8"><style>
body { margin: 0; padding: 16px; width: 1148px; display: flex; gap: 16px; background: #dfe3e6; }
pre, img { border-radius: 8px; box-shadow: 0 2px 10px #0004; height: 620px; }
pre { margin: 0; padding: 14px; width: 460px; box-sizing: border-box; overflow: hidden;
  background: #14181a; color: #e8e6e1; font: 11px/1.55 "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; }
b { color: #7cc4bd; }
img { flex: 1; object-fit: cover; object-position: top; min-width: 0; }
</style>"""


def main() -> None:
    """Run the demo, and take the picture of it."""
    command = ["make", "--no-print-directory", "demo", "KEEP=1"]
    printed = subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    try:
        take(printed)
    finally:
        for pid in printed.rpartition("to stop them: kill ")[2].split():
            os.kill(int(pid), signal.SIGTERM)
    print(f"picture: {PICTURE.relative_to(ROOT)}, {PICTURE.stat().st_size / 1000:.0f} kB")


def take(printed: str) -> None:
    """Take the picture of what the demo printed; its page must be up."""
    url = re.search(r"^demo page +(\S+)", printed, re.M)
    assert url, printed
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            chromium_sandbox=os.geteuid() != 0,  # which root has none of
        )
        page = base64.b64encode(page_at(browser, url[1])).decode()
        shown = browser.new_page(
            viewport={"width": 1180, "height": 652}, device_scale_factor=SHARPER
        )
        shown.set_content(
            f'{FRAME}<pre>{terminal(printed)}</pre><img src="data:image/png;base64,{page}">'
        )
        shown.screenshot(path=PICTURE)
        browser.close()


def page_at(browser: Browser, url: str) -> bytes:
    """Return a screenshot of the demo page, filled in with a row of the test set."""
    page = browser.new_page(viewport=PAGE, device_scale_factor=SHARPER)
    page.goto(url)
    page.locator(".contributions li").first.wait_for()
    with page.expect_response("**/page/explain"):
        page.locator("#example-buttons button").first.click()
    page.wait_for_timeout(500)  # the answer is drawn
    return page.screenshot()


def terminal(printed: str) -> str:
    """Return what the demo printed as HTML, without the lines for which there is no room."""
    left_out = re.compile("|".join(LEFT_OUT))
    printed = re.sub(r"^request\n.*?(?=^response)", "", printed, flags=re.S | re.M)
    printed = re.sub(r"\$ make leaderboard\n.*?(?=^demo page)", "", printed, flags=re.S | re.M)
    lines = ["$ make demo", *(line for line in printed.splitlines() if not left_out.search(line))]
    return "\n".join(re.sub(r"^(\$ .*)", r"<b>\1</b>", html.escape(line)) for line in lines)


if __name__ == "__main__":
    main()
