"""`make demo`, as in the README."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

PAGES = ("demo page", "API docs", "MLflow ")
# test_way.py and the fixture `trained` train all six.
TWO = {"BIRD_STRIKES_MODELS": '["linear", "tree"]'}


def test_the_demo_answers_and_stops_what_it_started() -> None:
    environment = os.environ | TWO
    done = subprocess.run(
        ["make", "demo"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"model_version": ' in done.stdout
    urls = [line.split()[-1] for line in done.stdout.splitlines() if line.startswith(PAGES)]
    assert len(urls) == len(PAGES)
    for url in urls:
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(url, timeout=5)
