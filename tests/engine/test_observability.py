"""Prometheus and Grafana beside the API: their files fit the metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from conftest import lack
from prometheus_client.parser import text_string_to_metric_families

from coldstart.bundle import _bundle as bundle
from coldstart.serve import _prediction_log as record
from engine.support import TEMPLATE

FOLDER = TEMPLATE / "infra" / "observability"
ROW = {"grade": "A", "bruised": False, "weight": 120.0}
DAY = 86_400
Server = Callable[..., AbstractContextManager[httpx2.Client]]


def program(name: str) -> str:
    """A program of Debian's prometheus; skip where there is none, or fail where all is wanted."""
    found = shutil.which(name)
    if not found:
        lack(f"{name} is not installed: apt install prometheus")
    return str(found)


def rules() -> dict[str, str]:
    """Expression of each alert, by its name."""
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def charts() -> dict[str, str]:
    """Expression of each line of the dashboard, by the title of its panel and its own."""
    panels = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    return {
        f"{panel['title']}: {target['legendFormat']}": target["expr"].replace(
            "$__rate_interval", "5m"
        )
        for panel in panels
        for target in panel["targets"]
    }


@pytest.fixture(scope="module")
def api(
    small_bundle: Path,
    sealed: Callable[..., Path],
    served: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx2.Client]:
    """An API that has answered, keeps its predictions, and whose rows have drifted."""
    project = tmp_path_factory.mktemp("watched")
    (project / "bundles").mkdir()
    shutil.copy(small_bundle.parents[1] / "config.yaml", project)

    def date(folder: Path) -> None:
        path = folder / bundle.MANIFEST
        manifest = bundle.Manifest.model_validate_json(path.read_bytes())
        manifest.provenance["trained_at"] = "2026-01-02T03:04:05+00:00"
        bundle.write_manifest(folder, manifest)

    sealed(small_bundle, project / "bundles" / "champion", "7", date)
    kept = project / "kept"
    kept.mkdir()
    found = {"drifted": True, "columns": {"weight": 0.5}, "prediction": 0.25}
    (kept / record.DRIFT).write_text(json.dumps(found))
    with served(project, "--serving.record.folder", str(kept)) as client:
        for _ in range(3):
            assert client.post("/predict", json={"rows": [ROW]}).status_code == 200
        yield client


def test_the_age_of_the_model_is_among_the_metrics(api: httpx2.Client) -> None:
    lines = api.get("/metrics").text.splitlines()
    series = 'model_trained_timestamp_seconds{role="champion",version="7"} '
    (line,) = [line for line in lines if line.startswith(series)]
    assert float(line.split()[-1]) == 1_767_323_045  # date -d 2026-01-02T03:04:05Z +%s


def test_dashboard_and_alerts_read_metrics_that_the_api_has(api: httpx2.Client) -> None:
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(api.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    found["up"] = {"job", "instance"}  # Prometheus' own
    used = {**rules(), **charts()}
    assert len(used) == len(rules()) + len(charts()) > 15
    for name, expression in used.items():
        text = re.sub(r'"[^"]*"', '""', expression)
        metrics = re.findall(r"\b((?:api|model)_\w+|up)\b(?:\{([^}]*)\})?", text)
        assert metrics, name
        for metric, chosen in metrics:
            assert metric in found, f"{name} reads {metric}"
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", chosen))
            assert labels <= found[metric], f"{name} chooses {metric} by {labels}"
    for title in charts():
        assert not re.search(r"\{\{(?!path|status|role|version|column|fate)", title), title


def test_prometheus_accepts_its_configuration_and_each_expression(tmp_path: Path) -> None:
    promtool = program("promtool")
    done = subprocess.run(
        [promtool, "check", "config", FOLDER / "prometheus.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [
        {"record": f"line:{number}", "expr": line} for number, line in enumerate(charts().values())
    ]
    (tmp_path / "lines.yml").write_text(
        yaml.safe_dump({"groups": [{"name": "lines", "rules": lines}]})
    )
    for path in (tmp_path / "lines.yml", FOLDER / "alerts.yml"):
        done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


GOOD: dict[str, str] = {
    'up{job="api",instance="a"}': "1x60",
    'api_request_seconds_count{instance="a",path="/predict",status="200"}': "0+600x60",
    'api_request_seconds_count{instance="a",path="/predict",status="503"}': "0+3x60",
    'api_request_seconds_bucket{instance="a",path="/predict",status="200",le="0.1"}': "0+600x60",
    'api_request_seconds_bucket{instance="a",path="/predict",status="200",le="+Inf"}': "0+600x60",
    'api_predictions_logged_total{instance="a",fate="dropped"}': "5x60",
    'model_drifted{instance="a"}': "0x60",
    # The time of a test of rules starts at 1970.
    'model_trained_timestamp_seconds{instance="a",role="champion",version="7"}': "0x60",
}
BAD: dict[str, dict[str, str]] = {
    "ApiDown": {'up{job="api",instance="a"}': "0x60"},
    "ApiErrors": {
        'api_request_seconds_count{instance="a",path="/predict",status="503"}': "0+30x60"
    },
    "ApiSlow": {
        'api_request_seconds_bucket{instance="a",path="/predict",status="200",le="0.1"}': (
            "0+580x60"
        ),
        'api_request_seconds_bucket{instance="a",path="/predict",status="200",le="0.5"}': (
            "0+600x60"
        ),
    },
    "PredictionsDropped": {
        'api_predictions_logged_total{instance="a",fate="dropped"}': "0+1x60",
    },
    "ModelDrifted": {'model_drifted{instance="a"}': "1x60"},
    "ModelOld": {
        'model_trained_timestamp_seconds{instance="a",role="champion",version="7"}': (
            f"-{90 * DAY}x60"
        )
    },
}


def test_each_alert_fires_for_its_own_reason_and_none_where_all_is_well(tmp_path: Path) -> None:
    promtool = program("promtool")
    assert BAD.keys() == rules().keys()
    shutil.copy(FOLDER / "alerts.yml", tmp_path)

    def case(changed: dict[str, str]) -> dict[str, Any]:
        series = [{"series": name, "values": values} for name, values in (GOOD | changed).items()]
        # ALERTS is the metric of alerts themselves, so that their labels need no repetition.
        count = 'count by (alertname) (ALERTS{alertstate="firing"})'
        fired = [name for name, other in BAD.items() if other is changed]
        expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in fired]
        test = {"expr": count, "eval_time": "30m", "exp_samples": expected}
        return {"interval": "1m", "input_series": series, "promql_expr_test": [test]}

    tests = [case({}), *map(case, BAD.values())]
    content = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(content))
    done = subprocess.run(
        [promtool, "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_collects_the_metrics_evaluates_each_line_and_alerts(
    api: httpx2.Client, tmp_path: Path
) -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = dict.fromkeys(config["global"], "200ms")
    (scrape,) = config["scrape_configs"]
    scrape["static_configs"] = [{"targets": [f"127.0.0.1:{api.base_url.port}"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        *(program("prometheus"), f"--config.file={tmp_path / 'prometheus.yml'}"),
        *(f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
    ]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=20) as prometheus,
    ):

        def ask(path: str, **parameters: str) -> Any:
            try:
                answer = prometheus.get(path, params=parameters)
            except httpx2.TransportError:
                return None
            return answer.json()["data"] if answer.status_code == 200 else None

        def firing() -> set[str]:
            alerts = (ask("/alerts") or {"alerts": []})["alerts"]
            return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

        def empty() -> list[str]:
            answers = {name: ask("/query", query=line) for name, line in charts().items()}
            return [name for name, answer in answers.items() if not (answer and answer["result"])]

        try:
            limit = time.monotonic() + 60
            found: tuple[set[str], list[str]] = (set(), [])
            # A rate needs two collections, and no request has failed.
            while found != ({"ModelDrifted", "ModelOld"}, ["Failed requests: 5xx"]):
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < limit, found
                time.sleep(0.1)
                found = firing(), empty()
        finally:
            process.terminate()


def test_compose_mounts_each_file_where_its_program_looks() -> None:
    text = (TEMPLATE / "infra" / "compose.yaml").read_text()
    services = yaml.safe_load(text.replace("{{cookiecutter.project_slug}}", "houses"))["services"]
    watch = [service for service in services.values() if service.get("profiles") == ["watch"]]
    assert len(watch) == 2
    mounted = [one.split(":") for service in watch for one in service["volumes"]]
    assert {Path(source).name for source, *_ in mounted} == {p.name for p in FOLDER.iterdir()}
    for source, target, mode in mounted:
        assert (TEMPLATE / "infra" / source).is_file()
        assert (Path(target).name, mode) == (Path(source).name, "ro")
    assert all(one.startswith("127.0.0.1:") for service in watch for one in service["ports"])
    provider = yaml.safe_load((FOLDER / "dashboards.yml").read_text())["providers"][0]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
