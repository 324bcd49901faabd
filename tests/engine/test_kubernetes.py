"""The manifest for Kubernetes: valid, and about the image that `make image` builds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from coldstart.config import ServingSettings
from coldstart.serve import create_app
from engine.support import PROJECT, TEMPLATE

PAGE = TEMPLATE.parent / "docs" / "how-to" / "deploy-to-kubernetes.md"
DOCKERFILE = (TEMPLATE / "infra" / "Dockerfile").read_text()


def manifests() -> list[dict[str, Any]]:
    """The objects that the page shows."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    return list(yaml.safe_load_all(block))


def container() -> dict[str, Any]:
    found: dict[str, Any] = manifests()[0]["spec"]["template"]["spec"]["containers"][0]
    return found


def test_kubernetes_accepts_each_object_and_no_misspelled_field() -> None:
    for one in manifests():
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
    deployment = manifests()[0]
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)


def test_port_and_user_are_those_of_the_image() -> None:
    served = DOCKERFILE.partition("\nFROM base AS serve\n")[2]
    (port,) = container()["ports"]
    assert f"EXPOSE {port['containerPort']}\n" in served
    user = manifests()[0]["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:" in served


def test_each_probe_asks_a_route_of_the_api(small_bundle: Path) -> None:
    paths = set(create_app(PROJECT, small_bundle, ServingSettings()).openapi()["paths"])
    probes = [value["httpGet"] for name, value in container().items() if name.endswith("Probe")]
    assert len(probes) == 3
    assert {probe["path"] for probe in probes} <= paths
    scraped = manifests()[0]["spec"]["template"]["metadata"]["annotations"]
    assert scraped["prometheus.io/path"] in paths
    assert {probe["port"] for probe in probes} == {container()["ports"][0]["name"]}


def test_the_service_sends_requests_to_the_pods_of_the_deployment() -> None:
    deployment, service = manifests()
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels == deployment["spec"]["selector"]["matchLabels"]
    assert service["spec"]["ports"][0]["targetPort"] == container()["ports"][0]["name"]
