"""Deployment to a Space: the Hub builds the image that serves, from the files it needs."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from docker.utils import exclude_paths
from huggingface_hub import SpaceCard, SpaceCardData

from coldstart._provenance import project_name
from coldstart.bundle._bundle import MANIFEST, verify_bundle
from coldstart.bundle._predictor import BundlePredictor
from coldstart.deploy._keys import VARIABLE, pack_keys
from coldstart.deploy._targets import DeployRequest
from coldstart.deploy.on_hub._card import LICENSE, license_metadata
from coldstart.deploy.on_hub._hub import Hub
from coldstart.deploy.on_hub._published import personal_features, write_published
from coldstart.errors import UserError
from coldstart.images._building import CHAMPION

PORT = 8000  # of the image that serves
KEY_BYTES = 100_000
LAST_STAGE = """
# Of a Dockerfile without a target the last stage is built. A Space runs it as this user.
FROM serve AS space
USER 1000:1000
"""
KEYS = "/tmp/keys.txt"
README = """# {title}

The API of model version {version} and its page. Its address with `/docs` describes it.
`bundles/champion` contains the model and its card. `make deploy ON=space` wrote these files.
"""


class DeployTarget:
    """A Space. Each deployment is a commit, from which the Hub builds and starts the API."""

    def __init__(self, request: DeployRequest) -> None:
        if request.host or request.port:
            raise UserError("ON=space takes no HOST and no PORT: the Hub chooses the URL")
        self.request, self.name = request, project_name()
        self.mark = (CHAMPION / MANIFEST).as_posix()

    def connect(self) -> Hub:
        """Return the repository of the Space."""
        return Hub("space", self.request.repo, self.name, self.mark, self.request.dry_run)

    def deploy(self) -> None:
        """Publish the champion, the code that serves it, and a Dockerfile."""
        keys, public = self.request.settings.serving.keys, self.request.public
        verify_bundle(CHAMPION)
        hub = self.connect()
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            predictor = self.write_space(folder)
            message = f"Version {predictor.number} ({predictor.manifest.family})"
            secrets = pack_keys(keys, KEY_BYTES) if keys and not hub.dry_run else {}
            hub.publish(folder, message, public, personal_features(predictor), secrets)
        if hub.dry_run:
            return
        if public and not keys:
            print(
                "WARNING: anyone can use the API without a key. To require keys, run make key "
                "NAME=..., and set serving.keys in config.yaml",
                file=sys.stderr,
            )
        print("the Hub builds the image now: make deploy ON=space STATUS=1 shows when it runs")

    def write_space(self, folder: Path) -> BundlePredictor:
        """Write the Space's files: what an image may hold, and the Dockerfile that copies it."""
        patterns = Path(".dockerignore").read_text(encoding="utf-8").splitlines()
        patterns = [line for line in patterns if line and not line.startswith("#")]
        for name in exclude_paths(".", patterns):
            path = Path(name)
            if path.is_file() and not path.is_relative_to(CHAMPION):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / path)
        predictor = write_published(CHAMPION, folder / CHAMPION)
        if LICENSE.is_file():
            shutil.copy(LICENSE, folder)
        settings = self.request.settings
        dockerfile = Path("infra/Dockerfile").read_text(encoding="utf-8")
        dockerfile += LAST_STAGE + command(dockerfile, bool(settings.serving.keys))
        (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        title = settings.serving.title or settings.project.title
        about = SpaceCardData(
            title=title, sdk="docker", app_port=PORT, tags=["coldstart"], **license_metadata()
        )
        text = README.format(title=title, version=predictor.number)
        SpaceCard(f"---\n{about.to_yaml()}\n---\n\n{text}").save(folder / "README.md")
        return predictor

    def status(self) -> None:
        """Print which version is published, and whether the Space runs."""
        hub = self.connect()
        if hub.find() is None:
            print(f"{self.name} is not deployed at {hub.url}")
            return
        with hub.errors():
            newest = hub.api.list_repo_commits(hub.repo, repo_type="space")[0]
            runtime = hub.api.get_space_runtime(hub.repo)
        at = newest.created_at.isoformat(" ", "seconds")
        print(f"{newest.title} of {at} is at {hub.url}: {str(runtime.stage).lower()}")

    def rollback(self) -> None:
        """Refuse: the Hub keeps each version as a commit, and has no switch between them."""
        raise UserError(
            "a Space has one version: run make rollback, then make deploy ON=space, which "
            "publishes the champion before this one"
        )

    def fetch(self) -> None:
        """Refuse: there is no prediction log."""
        raise UserError("a Space keeps no prediction log: its disk does not last")

    def down(self) -> None:
        """Delete the Space with its history."""
        hub = self.connect()
        if (found := hub.find()) is None:
            print(f"{hub.url}: does not exist")
            return
        if self.mark not in found[0]:
            raise UserError(f"{hub.url} has nothing of this command: delete it at the Hub")
        with hub.errors():
            hub.api.delete_repo(hub.repo, repo_type="space")
        print(f"{hub.url}: removed")


def command(dockerfile: str, keys: bool) -> str:
    """Return the command of the image without a prediction log, which its disk would not keep.

    With keys, their hashes are the Space's secret.
    """
    stage = dockerfile.partition(" AS serve\n")[2]
    words = [
        word
        for name in ("ENTRYPOINT", "CMD")
        for word in json.loads(stage.partition(f"\n{name} ")[2].partition("\n")[0])
    ]
    words += ["--serving.record.folder", "null"]
    if keys:
        serve = shlex.join([*words, "--serving.keys", KEYS])
        words = ["sh", "-c", f"printf '%s' \"${VARIABLE}\" > {KEYS} && exec {serve}"]
    return f"ENTRYPOINT {json.dumps(words)}\nCMD []\n"
