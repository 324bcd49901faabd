"""`make demo`, as the README has it."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


def test_the_demo_answers_and_stops_what_it_started() -> None:
    done = subprocess.run(["make", "demo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"model_version": ' in done.stdout
    for line in done.stdout.splitlines():
        if line.startswith(("the demo page", "the API's page", "MLflow's page")):
            url = line.split()[-1]
            with pytest.raises(urllib.error.URLError):
                urllib.request.urlopen(url, timeout=5)
