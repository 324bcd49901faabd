"""What SkyPilot itself would copy to a machine of each provider, of a user who has all of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, GeneratedProject, clean_environment

from .skypilot import install, link

pytestmark = [pytest.mark.slow, pytest.mark.weekly]

PAGE = ROOT / "docs/how-to/rent-machines.md"
# Files of a user. Those of clouds, and those that SkyPilot copies for storage.
FILES = {
    ".aws/credentials": "[default]\naws_access_key_id = a\naws_secret_access_key = b\n",
    ".azure/azureProfile.json": "{}",
    ".azure/msal_token_cache.json": "{}",
    ".cache/huggingface/token": "hf_secret",
    ".cloudflare/accountid": "a",
    ".cloudflare/r2.credentials": "[r2]\naws_access_key_id = a\naws_secret_access_key = b\n",
    ".config/doctl/config.yaml": "{auth-contexts: {me: a}, context: me}",
    ".config/gcloud/access_tokens.db": "a",
    ".config/gcloud/application_default_credentials.json": "{}",
    ".config/vastai/vast_api_key": "a",
    ".fluidstack/api_key": "a",
    ".kube/config": "{apiVersion: v1, kind: Config, contexts: [], clusters: [], users: []}",
    ".lambda_cloud/lambda_keys": "api_key = a",
    ".nebius/NEBIUS_IAM_TOKEN.txt": "a",
    ".nebius/credentials.json": "{}",
    ".oci/config": "[DEFAULT]\n",
    ".paperspace/config.json": "{}",
    ".runpod/config.toml": "[default]\napi_key = 'a'\n",
    ".slurm/config": "Host here\n HostName 127.0.0.1\n",
    ".ssh/id_ed25519": "a key",
}
VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "CLOUDSDK_CORE_PROJECT")
OTHERS = ("HF_TOKEN", "MLFLOW_TRACKING_PASSWORD", "GITHUB_TOKEN", "RUNPOD_API_KEY", "DATABASE_URL")
# As `backend_utils.write_cluster_config` does it, with the settings in infra/sky.config.yaml.
LIST = """
import json, os, sys
from sky import check, clouds, skypilot_config
from sky.utils import registry, schemas
own = registry.CLOUD_REGISTRY.from_str(sys.argv[1])
identity = skypilot_config.get_effective_region_config(
    cloud=sys.argv[1], region=None, keys=("remote_identity",), default_value=None
) or schemas.get_default_remote_identity(sys.argv[1])
excluded = set()
if identity != "LOCAL_CREDENTIALS":
    excluded = {clouds.Kubernetes(), clouds.SSH()} if sys.argv[1] == "kubernetes" else {own}
mounts = check.get_cloud_credential_file_mounts(excluded)
print(json.dumps([sorted(mounts), sorted(os.environ)]))
"""
OURS = """
import json, sys
from coldstart.cloud.skypilot._environment import environment
print(json.dumps(environment(sys.argv[1])))
"""


def documented() -> dict[str, set[str]]:
    """Return what the page says that each provider's machines get."""
    table = PAGE.read_text().partition("| copied to its machines |\n|---|---|\n")[2]
    rows = [line.split("|")[1:3] for line in table.partition("\n\n")[0].splitlines()]
    return {name.strip("` "): set(re.findall(r"`(~/\S+)`", files)) for name, files in rows}


@pytest.fixture
def project(installed: GeneratedProject, tmp_path: Path) -> Path:
    """A generated project with SkyPilot, and a home with credentials of all clouds beside it."""
    path = tmp_path / "project"
    installed.copy(path)
    link(install(), path)
    for name, text in FILES.items():
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).write_text(text)
    return path


def test_a_machine_gets_the_credentials_that_the_page_names_and_no_others(
    project: Path, tmp_path: Path
) -> None:
    said, found, seen = documented(), {}, {}
    own = clean_environment() | {"HOME": str(tmp_path / "home")}
    own |= dict.fromkeys((*VARIABLES, *OTHERS), "a secret")
    for provider in said:
        given = subprocess.run(
            [sys.executable, "-c", OURS, provider],
            cwd=project, env=own, capture_output=True, text=True, check=True,
        )  # fmt: skip
        listed = subprocess.run(
            [project / ".sky/bin/python", "-c", LIST, provider],
            cwd=project, env=json.loads(given.stdout), capture_output=True, text=True,
        )  # fmt: skip
        assert listed.returncode == 0, listed.stderr
        mounts, seen[provider] = json.loads(listed.stdout.splitlines()[-1])
        found[provider] = set(mounts)
    assert found == said
    for provider, names in seen.items():
        assert not {*OTHERS} & {*names} - ({"RUNPOD_API_KEY"} if provider == "runpod" else set())
        assert ("AWS_ACCESS_KEY_ID" in names) == (provider == "aws")
        assert ("CLOUDSDK_CORE_PROJECT" in names) == (provider == "gcp")
