"""The API's document is true: responses to many requests made from it are as it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import GeneratedProject, ask, clean_environment, free_port, wait_for

pytestmark = pytest.mark.slow
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.fixture(scope="module")
def url(trained: GeneratedProject) -> Iterator[str]:
    """The demo's API."""
    port = str(free_port())
    command = [str(trained.python), "-m", trained.package, "serve", "--serving.port", port]
    with subprocess.Popen(command, cwd=trained.path, env=clean_environment()) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", server, 60)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def fuzz(url: str, document: dict[str, Any], folder: Path, *arguments: str) -> int:
    """Send requests made from a document, with every check on their answers; tell how many."""
    folder.mkdir()
    path = folder / "openapi.json"
    path.write_text(json.dumps(document))
    done = subprocess.run(
        [
            *(SCHEMATHESIS, "run", path, "--url", url, "--checks", "all", "--no-color"),
            *("--phases", "examples,coverage,fuzzing", *arguments),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    found = re.search(r"Test cases:\n +([\d,]+) generated", done.stdout)
    assert found, done.stdout
    return int(found[1].replace(",", ""))


@pytest.mark.parametrize("requests", [100, pytest.param(10_000, marks=pytest.mark.weekly)])
def test_requests_are_answered_as_the_document_says(
    url: str, tmp_path: Path, requests: int
) -> None:
    document = ask(f"{url}/openapi.json")
    files = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    rows = {"application/json": files.pop("application/json")}
    kinds = dict(files)
    # Of rows in JSON the document says all: what fits it is answered.
    document["paths"]["/predict"]["post"]["requestBody"]["content"] = rows
    folders = [tmp_path / name for name in ("one", "other")]
    with ThreadPoolExecutor(2) as both:  # making requests takes a core far longer than answering
        sent = both.map(
            lambda folder: fuzz(url, document, folder, "--max-examples", str(requests // 2)),
            folders,
        )
        assert sum(sent) >= requests
    # What a file holds it cannot say; what is no file of rows is refused as it says.
    document["paths"] = {"/predict": document["paths"]["/predict"]}
    document["paths"]["/predict"]["post"]["requestBody"]["content"] = kinds
    other = ("--max-examples", "30", "--exclude-checks", "positive_data_acceptance")
    assert fuzz(url, document, tmp_path / "files", *other) >= 30
    assert ask(f"{url}/health/ready")["status"]
