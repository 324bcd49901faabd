"""Publishing at the Hugging Face Hub: its own client, and a stand-in for what it talks to.

The stand-in answers over HTTP. What was published is downloaded from it, loaded, and compared with
what the project has here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import GeneratedProject, ask, clean_environment, free_port, wait_for
from hub import TOKEN, Hub, Repository
from huggingface_hub import HfApi, ModelCard, SpaceCard, constants

from coldstart.bundle._bundle import (
    MANIFEST,
    Manifest,
    checksum,
    registered_version,
    verify_bundle,
    write_manifest,
)
from coldstart.bundle._predictor import BundlePredictor
from coldstart.deploy.on_hub._card import hub_card
from engine.support import main

ROW = {"phase_of_flt": "Climb", "height": 500, "speed": 140, "birds_struck": "11-100"}
ENGINE = "src", "vendor/coldstart/src"
# `python` is the interpreter of the tests.
PYTHON_FIRST = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def trained(generate: Callable[..., GeneratedProject]) -> GeneratedProject:
    """A generated project with a champion. Its own source runs, in the tests' environment."""
    project = generate()
    project.thin(5)
    project.run("git", "commit", "--quiet", "--all", "--message", "Fewer rows")
    run(project, "train", "--models", "tree")
    return project


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment in which a project's own source is imported."""
    found = [str(folder / name) for name in ENGINE]
    others = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    return clean_environment() | {"PYTHONPATH": os.pathsep.join([*found, *others])} | more


def run(project: GeneratedProject, *arguments: str, **env: str) -> str:
    """Return what a command prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", project.package, *arguments],
        cwd=project.path,
        env=environment(project.path, **env),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass
class Publisher:
    """A project with a champion, and the stand-in that its commands publish at."""

    project: GeneratedProject
    hub: Hub
    access: dict[str, str]
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    refusal: Callable[..., str]

    @property
    def champion(self) -> Path:
        """Folder of the champion's bundle."""
        return self.project.path / "bundles/champion"

    def repository(self, name: str, kind: str = "models") -> Repository:
        """Return a repository of the stand-in."""
        return self.hub.repositories[kind, name]

    def run(self, *arguments: str, **env: str) -> str:
        """Return what a command prints in a process of its own."""
        return run(self.project, *arguments, **self.access, **env)

    def here(self, *arguments: str, **env: str) -> str:
        """Return what a command prints in this process, which spares its start."""
        self._go(self.project.path, env)
        self.capsys.readouterr()
        assert main(list(arguments)) == 0
        return self.capsys.readouterr().out

    def refused(self, *arguments: str, folder: Path | None = None, **env: str) -> str:
        """Return the line that a command is refused with."""
        self._go(folder or self.project.path, env)
        said = self.refusal(*arguments)
        assert len(said.splitlines()) == 1, said
        return said

    def _go(self, folder: Path, env: dict[str, str]) -> None:
        self.monkeypatch.chdir(folder)
        for name, value in (self.access | env).items():
            self.monkeypatch.setenv(name, value)

    def download(self, repo: str, folder: Path, kind: str = "model") -> Path:
        """Download a repository with the Hub's client."""
        api = HfApi(endpoint=self.hub.url, token=TOKEN)
        return Path(api.snapshot_download(repo, repo_type=kind, local_dir=folder))


@pytest.fixture
def publisher(
    trained: GeneratedProject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refusal: Callable[..., str],
) -> Iterator[Publisher]:
    """The project, which a test must not change, and an empty stand-in."""
    # No login of this machine: the client of this process has read its environment already.
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with closing(Hub()) as hub:
        home = str(tmp_path / "home")
        access = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HOME": home}
        yield Publisher(trained, hub, access, monkeypatch, capsys, refusal)


@pytest.fixture
def changed(publisher: Publisher, tmp_path: Path) -> Publisher:
    """The same with a copy of the project, which may be changed."""
    project = publisher.project
    return replace(publisher, project=project.copy(tmp_path / project.path.name))


def scores(folder: Path) -> Any:
    """Return what a bundle predicts for a row."""
    predictor = BundlePredictor(folder)
    return predictor.score([{name: ROW.get(name) for name in predictor.contract.features}])


def edit_schema(folder: Path, **columns: dict[str, Any]) -> dict[str, Any]:
    """Change columns of a bundle's schema, and return all."""
    schema = yaml.safe_load((folder / "schema.yaml").read_text())
    for name, values in columns.items():
        schema["columns"].setdefault(name, {}).update(values)
    (folder / "schema.yaml").write_text(yaml.safe_dump(schema, sort_keys=False))
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    manifest.files["schema.yaml"] = checksum(folder / "schema.yaml")
    write_manifest(folder, manifest)
    found: dict[str, Any] = schema["columns"]
    return found


def test_a_published_model_is_downloaded_and_predicts_as_the_champion_does(
    publisher: Publisher, tmp_path: Path
) -> None:
    said = publisher.run("push", "--on", "hf")
    assert said.startswith(f"Version 1 (tree) is at {publisher.hub.url}/ann/bird-strikes (private,")
    assert publisher.repository("ann/bird-strikes").private

    folder = publisher.download("ann/bird-strikes", tmp_path / "copy")
    assert scores(folder) == scores(publisher.champion)
    assert registered_version(folder) == registered_version(publisher.champion)
    assert publisher.run("predict", "--bundle", str(folder)) == publisher.run("predict")

    verify_bundle(folder)
    there = {path.name for path in folder.iterdir() if path.is_file()}
    assert {"README.md", "LICENSE", "reference.csv", "examples.json"} <= there  # git has the table
    assert not there & {"tested.csv", "MLmodel", "input_example.json"}


def test_the_card_has_metadata_that_the_client_and_the_hub_accept(
    publisher: Publisher,
) -> None:
    publisher.run("push", "--repo", "ann/strikes", "--public", HF_HUB_DISABLE_XET="1")
    assert any(request.startswith("PUT /lfs/") for request in publisher.hub.requests)
    repository = publisher.repository("ann/strikes")
    assert not repository.private
    card = ModelCard(repository.files["README.md"].decode())
    champion = json.loads((publisher.champion / MANIFEST).read_bytes())
    measured = champion["metrics"]["test"]

    found = card.data
    assert (found.license, found.library_name) == ("mit", "onnx")
    assert found.pipeline_tag == "tabular-classification"
    assert {"tabular", "tree"} <= set(found.tags)
    assert {one.metric_name: one.metric_value for one in found.eval_results} == measured
    assert found.eval_results[0].metric_name == champion["metrics"]["primary"]
    assert found.metrics == [one.metric_type for one in found.eval_results]
    own = (publisher.champion / "MODEL_CARD.md").read_text()
    assert own.startswith("# Model card: tree")  # without metadata, which GitHub shows as a table
    assert own.strip() in card.text
    assert "hf download ann/strikes" in card.text
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", card.text):
        assert picture in repository.files


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Apache License\n", {"license": "other", "license_name": "Apache License"}),
        ("BSD 3-Clause License\n", {"license": "bsd-3-clause"}),
        (None, {"license": None}),
    ],
)
def test_the_metadata_of_a_predicted_number_and_of_each_license(
    title: str | None, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if title:
        Path("LICENSE").write_text(title)
    measured = {"rmse": 2.5, "r2": 0.75}
    manifest = Manifest(
        family="linear", target="price", metrics={"test": measured, "primary": "r2"}
    )
    found = ModelCard(str(hub_card(tmp_path, manifest, "ann/houses", "House prices"))).data
    assert found.pipeline_tag == "tabular-regression"
    assert [one.metric_type for one in found.eval_results] == ["r_squared", "rmse"]
    assert {one.metric_name: one.metric_value for one in found.eval_results} == measured
    assert {name: found.get(name) for name in expected} == expected


def test_a_published_schema_has_no_values_of_columns_that_the_model_does_not_use(
    changed: Publisher, tmp_path: Path
) -> None:
    named = {"type": "category", "role": "ignore", "categories": ["Ann Smith"]}
    schema = edit_schema(changed.champion, bird_name=named)
    changed.here("push")
    files = changed.repository("ann/bird-strikes").files
    published = yaml.safe_load(files["schema.yaml"])["columns"]
    assert not any(b"Ann Smith" in content for content in files.values())
    assert published.keys() == schema.keys()
    used = {name for name, one in schema.items() if one.get("role") not in ("id", "ignore")}
    assert {name: published[name] for name in used} == {name: schema[name] for name in used}
    folder = changed.download("ann/bird-strikes", tmp_path / "copy")
    assert scores(folder) == scores(changed.champion)


def test_a_second_push_replaces_the_files_in_one_commit(publisher: Publisher) -> None:
    publisher.here("push", "--repo", "ann/twice")
    repository = publisher.repository("ann/twice")
    before = set(repository.files)
    repository.commit("by hand", repository.files | {"old.png": b"-"})
    publisher.here("push", "--repo", "ann/twice", "--ref", "1", "--public")
    assert not repository.private
    assert set(repository.files) == before
    assert [title for _, title, _ in repository.commits] == [
        "initial commit",
        "Version 1 (tree)",
        "by hand",
        "Version 1 (tree)",
    ]


def test_rows_are_published_only_of_a_table_that_git_keeps_and_without_personal_features(
    changed: Publisher,
) -> None:
    rows = {"reference.csv", "examples.json"}
    changed.project.run("git", "rm", "--quiet", "--cached", "data/raw/strikes.csv.gz")
    kept = changed.here("push", "--repo", "ann/ignored")
    assert "not published: reference.csv and examples.json, since git does not keep" in kept
    assert not rows & set(changed.repository("ann/ignored").files)

    changed.project.run("git", "add", "--force", "data/raw/strikes.csv.gz")
    edit_schema(changed.champion, phase_of_flt={"personal": True})
    said = changed.here("push", "--repo", "ann/personal")
    assert "since phase_of_flt is personal" in said
    assert not rows & set(changed.repository("ann/personal").files)
    for command in (("push",), ("deploy", "--on", "space")):
        for dry in ((), ("--dry-run",)):
            refused = changed.refused(*command, *dry, "--repo", "ann/open", "--public")
            assert "the model uses personal data (phase_of_flt)" in refused
    assert {name for _, name in changed.hub.repositories} == {"ann/ignored", "ann/personal"}

    changed.repository("ann/personal").private = False
    assert "would be public" in changed.refused("push", "--repo", "ann/personal")


def commands(dockerfile: str) -> list[str]:
    """Return the command of a Dockerfile's last stage, which may be that of the stage before."""
    *_, last = re.split(r"^FROM ", dockerfile, flags=re.MULTILINE)
    assert last.startswith("serve AS space")
    (serve,) = re.findall(r"^FROM base AS serve\n(.*?)^FROM ", dockerfile, re.DOTALL | re.MULTILINE)
    words = []
    for name in ("ENTRYPOINT", "CMD"):
        found = re.findall(rf"^{name} (.*)", last, re.M) or re.findall(
            rf"^{name} (.*)", serve, re.M
        )
        words += json.loads(found[-1])
    return words


def start(folder: Path, words: list[str], **env: str) -> tuple[subprocess.Popen[bytes], str]:
    """Run the command of an image in a folder of its files, and return its address."""
    port = str(free_port())
    words = [re.sub(r"\b8000\b", port, word) for word in words]
    process = subprocess.Popen(words, cwd=folder, env=environment(folder, **env))
    url = f"http://127.0.0.1:{port}"
    wait_for(f"{url}/health/ready", process, 60)
    return process, url


def test_a_space_has_the_files_that_its_dockerfile_copies_and_its_command_serves_them(
    publisher: Publisher, tmp_path: Path
) -> None:
    plan = publisher.run("deploy", "--on", "space", "--dry-run")
    assert not publisher.hub.repositories
    publisher.run("deploy", "--on", "space")
    repository = publisher.repository("ann/bird-strikes", "spaces")
    assert repository.private
    assert repository.sdk == "docker"
    files = set(repository.files) - {".gitattributes"}
    listed = plan.splitlines()
    (vendor,) = [line for line in listed if line.startswith("vendor/")]
    inside = {name for name in files if name.startswith("vendor/")}
    size = sum(len(repository.files[name]) for name in inside)
    assert vendor == f"vendor/ ({len(inside)} files, {size / 1e6:.1f} MB)"
    assert {line for line in listed if line in files} == files - inside
    planned = "would publish Version 1 (tree) as a Space, YOU/bird-strikes (private)"
    assert f"{planned}, {len(files)} files:" in listed
    roots = {name.partition("/")[0] for name in files}
    kept = {"bundles", "config.yaml", "constraints.txt", "infra", "pyproject.toml", "src", "vendor"}
    assert roots == {*kept, ".dockerignore", "Dockerfile", "LICENSE", "README.md"}
    about = SpaceCard(repository.files["README.md"].decode()).data
    assert (about.title, about.sdk, about.app_port) == ("Bird strikes", "docker", 8000)

    folder = publisher.download("ann/bird-strikes", tmp_path / "space", "space")
    dockerfile = (folder / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.*)", dockerfile, re.MULTILINE):
        *sources, _ = [word for word in line.split() if not word.startswith("--")]
        assert all((folder / source).exists() for source in sources), line
    process, url = start(folder, commands(dockerfile), **PYTHON_FIRST)
    try:
        found = ask(f"{url}/predict", {"rows": [ROW]})["predictions"]
        page = urllib.request.urlopen(url, timeout=10).read()
    finally:
        process.terminate()
        process.wait()
    (expected,) = scores(publisher.champion)
    assert found[0]["label"] == expected["label"]
    assert found[0]["probability"] == pytest.approx(expected["probability"], abs=1e-4)
    assert b"<title>" in page

    said = publisher.run("deploy", "--on", "space", "--status")
    assert said.startswith("Version 1 (tree) of ")
    assert said.endswith(f" is at {publisher.hub.url}/spaces/ann/bird-strikes: building\n")
    publisher.run("deploy", "--on", "space", "--down")
    assert not publisher.hub.repositories


def test_a_space_with_keys_gets_their_hashes_as_a_secret_and_logs_no_predictions(
    changed: Publisher, tmp_path: Path
) -> None:
    file = changed.project.path / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["serving"] = {"keys": "keys.txt", "record": {"folder": "served"}}
    file.write_text(yaml.safe_dump(config))
    key = changed.run("key", "--name", "ann").strip()
    changed.run("deploy", "--on", "space")
    repository = changed.repository("ann/bird-strikes", "spaces")
    hashes = file.with_name("keys.txt").read_text().split()[-1]
    assert hashes in repository.secrets["API_KEYS"]
    assert not any(hashes.encode() in content for content in repository.files.values())

    folder = changed.download("ann/bird-strikes", tmp_path / "space", "space")
    words = commands((folder / "Dockerfile").read_text())
    words = [word.replace("/tmp/", f"{tmp_path}/") for word in words]
    process, url = start(folder, words, **PYTHON_FIRST, **repository.secrets)
    try:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(f"{url}/predict", {"rows": [ROW]})
        assert ask(f"{url}/predict", {"rows": [ROW]}, key)["predictions"]
        assert not (folder / "served").exists()  # a Space could not write it
    finally:
        process.terminate()
        process.wait()


def test_the_plan_of_a_push_names_its_files_and_nothing_is_sent(publisher: Publisher) -> None:
    plan = ("push", "--version", "1", "--dry-run")
    said = publisher.here(*plan, "--repo", "ann/planned", "--public", HF_TOKEN="")
    assert "REPO=birds is not the name" in publisher.refused(*plan, "--repo", "birds", HF_TOKEN="")
    assert not publisher.hub.requests

    publisher.here("push", "--version", "1", "--ref", "1")
    files = set(publisher.repository("ann/bird-strikes").files) - {".gitattributes"}
    title = f"would publish Version 1 (tree) as a model, ann/planned (public), {len(files)} files:"
    assert said.splitlines() == [title, *sorted(files)]


def test_version_chooses_what_is_published_as_ref_does(publisher: Publisher) -> None:
    assert "version 7 is not registered" in publisher.refused("push", "--version", "7")
    both = publisher.refused("push", "--version", "1", "--ref", "challenger")
    assert both == "error: REF=challenger and VERSION=1 are two models: give one of them\n"
    assert not publisher.hub.repositories


def test_mistakes_are_told_in_a_line(publisher: Publisher, tmp_path: Path) -> None:
    hub, refused = publisher.hub, publisher.refused
    space = ("deploy", "--on", "space")
    for command in (("push",), space):
        assert "set HF_TOKEN in .env, or run" in refused(*command, HF_TOKEN="")
        assert "its user: the token may not do that" in refused(*command, HF_TOKEN="hf_other")
        for name in ("birds", "a/b/c", "-x/y z"):
            for dry in ((), ("--dry-run",)):
                said = refused(*command, *dry, "--repo", name)
                what = f"REPO={name} is not the name of a repository: write USER/bird-strikes"
                assert what in said
        assert "bob/birds: the token may not" in refused(*command, "--repo", "bob/birds")
        nobody = f"http://127.0.0.1:{free_port()}"
        assert f"{nobody} does not respond" in refused(*command, HF_ENDPOINT=nobody)
    assert "version 7 is not registered; the newest are: 1" in refused("push", "--ref", "7")
    for option in ("--ref", "--version"):
        assert "'best' is not a model: write REF=" in refused("push", option, "best")
    assert "takes no HOST and no PORT" in refused(*space, "--port", "80")
    assert "run make rollback" in refused(*space, "--rollback")
    assert "no prediction log" in refused(*space, "--fetch")
    for target in ("docker", "aws"):
        assert "takes no REPO" in refused("deploy", "--on", target, "--repo", "ann/own")
    assert "takes no PUBLIC" in refused("deploy", "--on", "docker", "--public")
    assert not hub.repositories

    foreign = Repository(private=True, sdk=None)
    foreign.commit("mine", {"model.safetensors": b"-"})
    hub.repositories["models", "ann/mine"] = hub.repositories["spaces", "ann/mine"] = foreign
    for command in (("push",), space, (*space, "--down")):
        assert "did not write" in refused(*command, "--repo", "ann/mine")
    assert list(foreign.files) == ["model.safetensors"]
    foreign.commit("mine", {"README.md": b"-"})
    assert "has nothing of this command" in refused(*space, "--down", "--repo", "ann/mine")

    for name in ("config.yaml", "pyproject.toml"):
        shutil.copy(publisher.project.path / name, tmp_path)
    assert "there is no champion to publish; run: make train" in refused("push", folder=tmp_path)
    assert "bundles/champion is not a bundle" in refused(*space, folder=tmp_path)
