"""The registry: who becomes champion, who does not and why, and what a bundle may hold.

A small project is trained once in a git repository of its own. Challengers that are
worse, or the same but larger and slower, are made from its model by adding to the graph.
"""

from __future__ import annotations

import json
import pickle
import pickletools
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import pytest
import yaml
from mlflow import MlflowClient
from onnx import helper, numpy_helper

from coldstart.bundle import _bundle as bundle
from coldstart.bundle._predictor import BundlePredictor
from coldstart.errors import UserError
from coldstart.export._onnx import OUTPUT, rename
from coldstart.tracking import _gate, log_bundle
from coldstart.tracking import _mlflow as tracking
from coldstart.tracking import _registry as registry
from coldstart.train._evaluation import HeldOutPredictions
from coldstart.train._intervals import interval
from engine.held_out import held_out_once
from engine.support import load_settings, main

GIT = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]


def commit(folder: Path) -> None:
    """Commit everything that git does not ignore."""
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "All"]):
        subprocess.run([*GIT, *arguments], cwd=folder, check=True)


@dataclass
class Registry:
    """A project with models in its registry; all commands run in its folder."""

    folder: Path
    said: Callable[[], str]

    def run(self, *arguments: str) -> str:
        """Run a command that must succeed and return what it said."""
        self.said()
        assert main(list(arguments)) == 0
        return self.said()

    def version(self, alias: str) -> str | None:
        """Version that an alias points to, by MLflow and by the copy in bundles/."""
        version = registry.version_of(tracking.connect(load_settings()), load_settings(), alias)
        copied = bundle.registered_version(self.folder / "bundles" / alias)
        assert copied.get("version") == version
        return version

    def set_alias(self, alias: str, version: str) -> None:
        """Give an alias to a version by force, past the gate."""
        registry.set_alias(tracking.connect(load_settings()), load_settings(), alias, version)

    def register(self, change: Callable[[onnx.ModelProto], None]) -> str:
        """Register the champion with a changed graph, make it the challenger, tell its version."""
        settings = load_settings()
        client = tracking.connect(settings)
        champion, changed = Path("bundles/champion"), Path("changed")
        manifest = bundle.verify_bundle(champion)
        shutil.rmtree(changed, ignore_errors=True)
        changed.mkdir()
        for name in (bundle.CONTRACT, bundle.REFERENCE, bundle.TESTED, bundle.CARD):
            shutil.copy(champion / name, changed)
        model = onnx.load(champion / bundle.MODEL)
        change(model)
        onnx.save(model, changed / bundle.MODEL)
        bundle.write_checksums(changed, manifest)
        with mlflow.start_run(run_name="changed") as active:
            run_id = active.info.run_id
            uri = log_bundle(settings.project, changed, BundlePredictor(changed))
        version = registry.register(client, settings, uri, run_id)
        self.set_alias("challenger", version)
        return version


def worse(model: onnx.ModelProto) -> None:
    """Answer the opposite of what the model does."""
    rename(model, OUTPUT, "plain")
    one = numpy_helper.from_array(np.float32([1]), "one")
    model.graph.initializer.append(one)
    model.graph.node.append(helper.make_node("Sub", ["one", "plain"], [OUTPUT]))


def heavier(model: onnx.ModelProto) -> None:
    """Answer the same, but only after a large multiplication whose result is zero."""
    rename(model, OUTPUT, "plain")
    zeros = numpy_helper.from_array(np.zeros((2, 200_000), np.float32), "zeros")
    model.graph.initializer.append(zeros)
    model.graph.node.extend(
        [
            helper.make_node("MatMul", ["plain", "zeros"], ["much"]),
            helper.make_node("ReduceMax", ["much"], ["nothing"], keepdims=0),
            helper.make_node("Add", ["plain", "nothing"], [OUTPUT]),
        ]
    )


def unchanged(model: onnx.ModelProto) -> None:
    """Leave the model as it is."""


@pytest.fixture(scope="module")
def first_training(
    tmp_path_factory: pytest.TempPathFactory, write_project: Callable[..., Path]
) -> Path:
    """The small project, committed and trained once."""
    folder = tmp_path_factory.mktemp("registry") / "project"
    folder.mkdir()
    write_project(folder, split={"cross_validate_below": 0})
    ignored = ["bundles", "data", "mlruns", "mlflow.db*", "changed", "checkpoints"]
    (folder / ".gitignore").write_text("\n".join(ignored))
    commit(folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        assert main(["train"]) == 0
    return folder


@pytest.fixture
def project(
    first_training: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Registry:
    """A copy of the trained project, to do with as a test likes."""
    folder = tmp_path / "project"
    shutil.copytree(first_training, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    return Registry(folder, lambda: capsys.readouterr().out)


def test_the_first_model_that_beats_the_baseline_is_champion_at_once(project: Registry) -> None:
    assert project.version("champion") == project.version("challenger") == "1"
    manifest = bundle.verify_bundle(project.folder / "bundles" / "champion")
    assert manifest.provenance["git_dirty"] is False
    assert len(manifest.provenance["git_commit"]) == 40


def test_a_model_that_was_trained_with_uncommitted_changes_is_refused(
    project: Registry, refusal: Callable[..., str]
) -> None:
    config = project.folder / "config.yaml"
    config.write_text(config.read_text() + "seed: 1\n")
    project.run("train")
    told = refusal("promote")
    assert "version 2 was not promoted" in told
    assert "not committed" in told
    assert project.version("champion") == "1"
    assert project.version("challenger") == "2"


def test_a_worse_challenger_is_refused_with_the_interval(
    project: Registry, refusal: Callable[..., str]
) -> None:
    project.register(worse)
    told = refusal("promote")
    assert re.search(r"it is worse: roc_auc -[\d.]+ to -[\d.]+ compared", told)
    assert "95% CI" in told
    assert project.version("champion") == "1"


def test_a_better_challenger_is_promoted_and_rollback_brings_the_one_before_back(
    project: Registry,
) -> None:
    weak = project.register(worse)
    project.set_alias("champion", weak)
    project.set_alias("challenger", "1")
    told = project.run("promote")
    assert "version 1 (linear) is the champion: roc_auc +0." in told
    assert project.version("champion") == "1"

    told = project.run("rollback")
    assert f"version {weak} is the champion again, instead of version 1" in told
    assert project.version("champion") == weak


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Versions whose whole bundles were downloaded from the registry, in order."""
    found = []
    download = mlflow.artifacts.download_artifacts

    def noted(artifact_uri: str, **options: Any) -> str:
        if re.fullmatch(r"models:/[^/]+/\d+", artifact_uri):
            found.append(artifact_uri.rpartition("/")[2])
        path: str = download(artifact_uri, **options)
        return path

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", noted)
    return found


@pytest.mark.parametrize("version", [(), ("--version", "1")])
def test_a_promotion_downloads_each_model_once(
    project: Registry, downloads: list[str], version: tuple[str, ...]
) -> None:
    weak = project.register(worse)
    project.set_alias("champion", weak)
    project.set_alias("challenger", "1")
    downloads.clear()
    project.run("promote", *version)
    assert sorted(downloads) == ["1", weak]
    assert project.version("champion") == "1"
    copied = bundle.registered_version(project.folder / "bundles/champion")
    assert (copied["alias"], copied["version"]) == ("champion", "1")
    bundle.verify_bundle(project.folder / "bundles/champion")


def test_the_first_training_downloads_its_model_once(
    project: Registry, downloads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree("bundles")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.folder}/mlflow.db.new")
    assert "champion: version 1 (linear)" in project.run("train")
    assert downloads == ["1"]


def test_a_copy_that_changed_since_it_was_compared_is_not_promoted(
    project: Registry, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = project.register(worse)
    project.set_alias("champion", weak)
    project.set_alias("challenger", "1")
    compare = registry.compare

    def compare_and_change(*arguments: Any) -> tuple[bool, str]:
        with Path("bundles/challenger", bundle.MODEL).open("ab") as file:
            file.write(b"-")
        return compare(*arguments)

    monkeypatch.setattr(registry, "compare", compare_and_change)
    assert f"bundles/challenger is corrupt: {bundle.MODEL} was changed" in refusal("promote")
    assert project.version("champion") == weak
    assert {path.name for path in Path("bundles").iterdir()} == {"champion", "challenger"}


def test_an_equal_challenger_is_promoted_if_it_is_smaller_and_else_refused(
    project: Registry, refusal: Callable[..., str]
) -> None:
    heavy = project.register(heavier)
    assert "nor smaller or faster" in refusal("promote")
    project.set_alias("champion", heavy)
    project.set_alias("challenger", "1")
    assert "version 1 (linear) is the champion: as good" in project.run("promote")


def models(
    dice: np.random.Generator, rows: int, loss: float
) -> tuple[HeldOutPredictions, HeldOutPredictions]:
    """Predictions of two classes by a challenger and a champion, with a weaker signal by `loss`."""
    target = (dice.random(rows) < 0.4).astype(np.int64)
    common = dice.normal(size=rows)
    found = []
    for signal in (1.5 - loss, 1.5):
        logit = signal * target + 0.8 * common + 0.6 * dice.normal(size=rows) - 0.7
        positive = 1 / (1 + np.exp(-logit))
        prediction = np.column_stack([1 - positive, positive])
        found.append(held_out_once(np.arange(rows), target, prediction))
    return found[0], found[1]


@pytest.mark.parametrize("draws", [200, pytest.param(2000, marks=pytest.mark.weekly)])
def test_a_smaller_challenger_that_is_worse_seldom_passes_and_an_equal_one_does_with_many_rows(
    draws: int,
) -> None:
    large = models(np.random.default_rng(9), 300_000, loss=0.21)
    lost = large[1].score() - large[0].score()
    assert 0.04 < lost < 0.06
    dice, passed = np.random.default_rng(0), {}
    for name, rows, loss in (("worse", 150, 0.21), ("equal", 150, 0.0), ("equal", 5000, 0.0)):
        times = draws if rows < 1000 else draws // 10
        lows = [interval(*models(dice, rows, loss))[0] for _ in range(times)]
        passed[name, rows] = float(np.mean([_gate.is_as_good(low, 0.02) for low in lows]))
    print(f"loss {lost:.3f}, margin 0.02: {passed}")
    assert passed["worse", 150] < 0.025
    assert passed["equal", 5000] > 0.6
    assert passed["equal", 150] < passed["equal", 5000]


def test_a_smaller_challenger_whose_interval_reaches_beyond_the_margin_is_refused(
    project: Registry, refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heavy = project.register(heavier)
    project.set_alias("champion", heavy)
    project.set_alias("challenger", "1")
    monkeypatch.setattr(_gate, "interval", lambda *_: (-0.03, 0.02))
    printed = refusal("promote")
    assert "it may be more than 0.02 worse: roc_auc -0.0300 to +0.0200" in printed
    assert "margin in config.yaml" in printed
    monkeypatch.setattr(_gate, "interval", lambda *_: (-0.019, 0.03))
    assert "a loss of 0.02 or more is excluded" in project.run("promote")


def test_a_champion_of_another_target_is_told_of_and_gives_way(project: Registry) -> None:
    schema = project.folder / "schema.yaml"
    columns = yaml.safe_load(schema.read_text())["columns"]
    columns["sweet"]["role"], columns["weight"]["role"] = "feature", "target"
    schema.write_text(yaml.safe_dump({"columns": columns}))
    commit(project.folder)
    assert "make serve still predicts sweet" in project.run("train")
    assert "the champion predicts sweet" in project.run("promote")
    assert project.version("champion") == "2"


def test_a_worse_training_does_not_take_the_challengers_place(
    project: Registry, refusal: Callable[..., str]
) -> None:
    printed = project.run("train", "--models", "tree")
    assert "version 2 is not better than the challenger, version 1" in printed
    assert project.version("challenger") == "1"

    main(["promote", "--version", "2"])  # whatever the gate says of it
    assert project.version("challenger") == "2"
    assert "version 9 is not registered; the newest are: 1, 2" in refusal(
        "promote", "--version", "9"
    )


def test_a_challenger_of_uncommitted_changes_makes_way_and_that_is_printed(
    project: Registry,
) -> None:
    with Path("config.yaml").open("a") as file:
        file.write("# a change that is not committed\n")
    project.run("train", "--models", "tree")
    main(["promote", "--version", "2"])  # which the gate refuses
    assert project.version("challenger") == "2"
    printed = project.run("train", "--models", "tree")
    assert "the challenger so far, version 2, was trained with uncommitted changes" in printed
    assert project.version("challenger") == "3"


def test_a_new_tracking_store_leaves_the_champion_that_is_there(
    project: Registry, monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str]
) -> None:
    before = (project.folder / "bundles/champion/bundle.json").read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.folder}/mlflow.db.new")
    assert "to make it the champion, if it is better: make promote" in project.run("train")
    assert "nor smaller or faster" in refusal("promote")
    assert (project.folder / "bundles/champion/bundle.json").read_bytes() == before


def test_the_champion_cannot_be_promoted_again(
    project: Registry, refusal: Callable[..., str]
) -> None:
    assert "version 1 is the champion already" in refusal("promote")


def test_the_first_champion_cannot_be_rolled_back(
    project: Registry, refusal: Callable[..., str]
) -> None:
    assert "there is none before it" in refusal("rollback")
    assert project.version("champion") == "1"


def test_rolling_back_twice_does_not_go_round_in_circles(
    project: Registry, refusal: Callable[..., str]
) -> None:
    heavy = project.register(heavier)
    project.set_alias("champion", heavy)
    project.set_alias("challenger", "1")
    project.run("promote")
    project.run("rollback")
    assert project.version("champion") == heavy
    assert "there is none before it" in refusal("rollback")
    assert project.version("champion") == heavy


def test_a_challenger_that_saw_other_data_is_refused(
    project: Registry, refusal: Callable[..., str]
) -> None:
    project.register(unchanged)
    table = project.folder / "fruit.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-50]))
    project.run("prepare")
    assert "trained on other data" in refusal("promote")


class Payload:
    """Makes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("mark"),)


FLAVORS = {
    "python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"},
    "sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"},
}


def pickle_model(folder: Path) -> None:
    """A model of MLflow's flavor for scikit-learn, which is a pickle, and no bundle."""
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps(Payload()))
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": FLAVORS}))


def bundle_with_programs(folder: Path) -> None:
    """A whole bundle, with a pickle and programs beside it."""
    (folder / "model.pkl").write_bytes(pickle.dumps(Payload()))
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": FLAVORS}))
    for name in ("sitecustomize", "coldstart_model", "code/coldstart_model"):
        (folder / f"{name}.py").write_text("open('mark', 'w')")


def seal(folder: Path, **change: Any) -> None:
    """Change the manifest, and write its checksums anew."""
    manifest = bundle.Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
    bundle.write_checksums(folder, manifest.model_copy(update=change))


def of_another_version(folder: Path) -> None:
    """A bundle that lists a file of the name that `pull` writes."""
    (folder / bundle.VERSION).write_text("{}")
    seal(folder)


def register_foreign(project: Registry, change: Callable[[Path], object], alias: str) -> str:
    """Register what somebody else made of the champion's bundle, past everything of ours."""
    folder = project.folder / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(project.folder / "bundles" / "champion", folder)
    for name in (bundle.VERSION, "registered_model_meta"):  # which are written anew
        (folder / name).unlink()
    change(folder)
    settings = load_settings()
    client = tracking.connect(settings)
    with mlflow.start_run() as active:
        mlflow.log_artifacts(str(folder), "model")
        source = f"{active.info.artifact_uri}/model"
    name = settings.experiment
    version = str(client.create_model_version(name, source, active.info.run_id).version)
    if alias:
        client.set_registered_model_alias(name, alias, version)
    return version


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (pickle_model, "has no bundle.json"),
        (lambda folder: (folder / bundle.MODEL).write_bytes(b"x"), "model.onnx was changed"),
        (of_another_version, "version.json was changed"),
    ],
)
def test_a_version_that_is_not_a_whole_bundle_gets_no_alias_and_leaves_nothing(
    project: Registry,
    refusal: Callable[..., str],
    change: Callable[[Path], object],
    reason: str,
) -> None:
    version = register_foreign(project, change, alias="")
    told = refusal("promote", "--version", version)
    assert f"version {version} in the registry is refused" in told
    assert reason in told
    assert project.version("challenger") == project.version("champion") == "1"
    for alias in ("champion", "challenger"):
        register_foreign(project, change, alias)
        assert reason in refusal("pull")
        assert reason in refusal("promote")
    folders = [path.name for path in (project.folder / "bundles").iterdir()]
    assert sorted(folders) == ["challenger", "champion"]
    assert bundle.registered_version(project.folder / "bundles/champion")["version"] == "1"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: seal(folder, provenance={}, metrics={}),
        lambda folder: seal(folder, metrics={"interval": "high", "baseline": 0}),
        lambda folder: seal(folder, provenance={"git_dirty": [], "data": 3}),
        pickle_model,
        lambda folder: (folder / bundle.MANIFEST).write_text("[]"),
    ],
)
def test_a_challenger_that_is_not_of_make_train_is_refused_and_makes_way_for_one_that_is(
    project: Registry, refusal: Callable[..., str], change: Callable[[Path], object]
) -> None:
    version = register_foreign(project, change, "challenger")
    assert bundle.MANIFEST in refusal("promote")
    printed = project.run("train", "--models", "tree")
    assert f"the challenger so far, version {version}, makes way" in printed
    assert int(project.version("challenger") or 0) > int(version)


@pytest.mark.parametrize("change", [pickle_model, bundle_with_programs])
def test_no_program_and_no_pickle_in_the_registry_is_run(
    project: Registry, served: Callable[..., Any], change: Callable[[Path], object]
) -> None:
    mark = project.folder / "mark"
    pickle.loads(pickle.dumps(Payload()))
    assert mark.exists()  # so it would be noticed
    mark.unlink()
    for alias in ("champion", "challenger"):
        register_foreign(project, change, alias)
    for command in ("pull", "promote", "leaderboard", "report", "questions"):
        main([command])
    shadow = ("--serving.shadow", "--serving.record.folder", "kept")
    with served(project.folder, *shadow) as api:
        row = {"grade": "A", "bruised": False}
        assert api.post("/predict", json={"rows": [row]}).status_code == 200
    assert not mark.exists()


def test_pull_brings_both_bundles_back(project: Registry) -> None:
    shutil.rmtree(project.folder / "bundles")
    told = project.run("pull")
    assert "champion: version 1" in told
    assert "challenger: version 1" in told
    assert project.version("champion") == project.version("challenger") == "1"


def test_without_a_training_there_is_nothing_to_promote_or_roll_back(
    small_project: Callable[..., Path],
    first_training: Path,
    refusal: Callable[..., str],
) -> None:
    folder = small_project(experiment="untrained")
    shutil.copy(first_training / "mlflow.db", folder)
    assert "make train" in refusal("rollback")
    assert "make train" in refusal("promote")
    assert main(["prepare"]) == 0
    assert "there is no challenger yet" in refusal("promote")


def test_a_store_that_cannot_be_reached_is_told_in_seconds(
    small_project: Callable[..., Path], refusal: Callable[..., str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    small_project()
    start = time.monotonic()
    told = refusal("train", "--tracking-uri", address)
    assert f"the tracking store {address} does not answer: " in told
    assert time.monotonic() - start < 20


def test_a_store_that_is_no_database_is_told(
    small_project: Callable[..., Path], refusal: Callable[..., str]
) -> None:
    folder = small_project()
    (folder / "false.db").write_text("this is no database " * 100)
    told = refusal("rollback", "--tracking-uri", f"sqlite:///{folder}/false.db")
    assert "false.db cannot be used" in told


@pytest.mark.parametrize(
    "name", ["model.onnx", "schema.yaml", "reference.csv", "tested.csv", "MODEL_CARD.md"]
)
@pytest.mark.parametrize("change", ["appended", "removed"])
def test_a_bundle_of_which_a_file_was_changed_is_refused(
    first_training: Path, tmp_path: Path, name: str, change: str
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(first_training / "bundles" / "champion", folder)
    bundle.verify_bundle(folder)
    if change == "appended":
        with (folder / name).open("ab") as file:
            file.write(b" ")
    else:
        (folder / name).unlink()
    told = "was changed" if change == "appended" else "is missing"
    with pytest.raises(UserError, match=f"is corrupt: {name} {told}"):
        bundle.verify_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_bundle_with_a_broken_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bundle.json").write_bytes(content)
    with pytest.raises(UserError, match="corrupt"):
        bundle.verify_bundle(tmp_path)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a bundle.*make train"):
        bundle.verify_bundle(tmp_path / "absent")


def is_pickle(content: bytes) -> bool:
    """Whether bytes can be read as a pickle to the end."""
    try:
        for _ in pickletools.genops(content):
            pass
    except Exception:  # whatever the first wrong byte leads to
        return False
    return True


def test_nothing_in_a_bundle_is_a_pickle(first_training: Path) -> None:
    assert is_pickle(b"\x80\x04N.")
    found = (first_training / "bundles" / "champion").rglob("*")
    files = [path for path in found if path.is_file()]
    assert len(files) > 5
    for file in files:
        assert file.suffix not in (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".npy", ".npz")
        content = file.read_bytes()
        assert not content.startswith((b"\x80", b"PK\x03\x04")), file
        assert not is_pickle(content), file


def test_the_registered_model_is_an_mlflow_model_that_predicts(project: Registry) -> None:
    """What is in the registry can be used by MLflow's own tools, not by ours alone."""
    client: MlflowClient = tracking.connect(load_settings())
    source = client.get_model_version(load_settings().experiment, "1")
    run = client.get_run(source.run_id)
    assert run.data.metrics["test_average_precision"] > 0.5
    manifest = json.loads((project.folder / "bundles/champion/bundle.json").read_text())
    assert manifest["provenance"]["run_id"] == source.run_id


@pytest.mark.parametrize("gone", ["one file", "all files"])
def test_a_version_whose_files_are_gone_from_the_store_is_named_and_nothing_changes(
    project: Registry, refusal: Callable[..., str], gone: str
) -> None:
    before = {path: path.read_bytes() for path in Path("bundles").rglob("*") if path.is_file()}
    settings = load_settings()
    client = tracking.connect(settings)
    uri = client.get_model_version_download_uri(settings.experiment, "1")
    artifacts = Path(str(uri).removeprefix("file://"))
    # The trained project was copied: its artifacts are those of the first one.
    hidden = artifacts.with_name("hidden")
    if gone == "all files":
        artifacts.rename(hidden)
    else:
        (artifacts / "model.onnx").rename(hidden)
    try:
        for command in ("pull", "promote"):
            assert "version 1" in refusal(command)
    finally:
        hidden.rename(artifacts if gone == "all files" else artifacts / "model.onnx")
    after = {path: path.read_bytes() for path in Path("bundles").rglob("*") if path.is_file()}
    assert after == before
