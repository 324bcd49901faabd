"""What is uploaded for a job, and what is refused."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest
import yaml

from coldstart import _provenance as provenance
from coldstart.bundle._bundle import checksum
from coldstart.cli._commands import Train
from coldstart.cli._main import build
from coldstart.cloud import _packing as packing
from coldstart.errors import UserError
from engine.support import PACKAGE, PROJECT, TEMPLATE

ARCHIVE = Path("inputs.tar.gz")


def packed(**settings: str) -> list[str]:
    """Return the names in the archive."""
    packing.pack(build(PROJECT, Train, [f"--{k}={v}" for k, v in settings.items()]), ARCHIVE, 10001)
    with tarfile.open(ARCHIVE) as tar:
        assert {entry.uid for entry in tar} == {10001}
        return [entry.name for entry in tar if entry.isfile()]


def refused() -> str:
    """Return why a folder is not uploaded."""
    with pytest.raises(UserError) as error:
        packing.pack(build(PROJECT, Train, []), ARCHIVE)
    return str(error.value)


def test_only_what_a_training_reads_is_uploaded(project: Path) -> None:
    for name in (".env", "keys.txt", "notes.txt", "data/raw/other.csv"):
        Path(name).write_text("secret")
    assert packed() == ["config.yaml", "data/raw/houses.csv", "schema.yaml"]


def test_pictures_are_uploaded_with_the_table_of_their_paths(project: Path) -> None:
    for name in ("data/raw/a/1.jpg", "data/raw/a/notes.md", "docs/plot.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x")
    assert "data/raw/a/1.jpg" not in packed()
    contract = yaml.safe_load(Path("schema.yaml").read_text())
    contract["columns"]["photo"] = {"type": "image"}
    Path("schema.yaml").write_text(yaml.safe_dump(contract))
    names = ["config.yaml", "data/raw/a/1.jpg", "data/raw/houses.csv", "schema.yaml"]
    assert packed() == names
    assert "data/raw/a/1.jpg" not in packed(**{"data.table": "s3://bucket/data/*.parquet"})


def test_the_settings_are_uploaded_without_the_tracking_stores_address(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:password@store.example")
    packed(seed="7")
    with tarfile.open(ARCHIVE) as tar:
        config = yaml.safe_load(tar.extractfile("config.yaml"))  # type: ignore[arg-type]
    assert config["seed"] == 7
    assert "password" not in str(config)


def test_of_a_table_in_an_object_store_only_the_address_is_uploaded(project: Path) -> None:
    address = "s3://bucket/data/*.parquet"
    assert packed(**{"data.table": address}) == ["config.yaml", "schema.yaml"]
    with tarfile.open(ARCHIVE) as tar:
        config = yaml.safe_load(tar.extractfile("config.yaml"))  # type: ignore[arg-type]
    assert config["data"]["table"] == address


def test_the_same_inputs_make_the_same_archive(project: Path) -> None:
    packed()
    first = checksum(ARCHIVE)
    packed()
    assert checksum(ARCHIVE) == first


def test_the_code_and_the_engine_are_uploaded_without_caches_and_secrets(project: Path) -> None:
    Path("src/houses/__pycache__").mkdir(parents=True)
    Path("vendor/coldstart/src").mkdir(parents=True)
    Path("vendor/coldstart/src/engine.py").write_text("1")
    for name in ("main.py", "draft.py", "__pycache__/main.pyc"):
        Path("src/houses", name).write_text("1")
    for name in ("pyproject.toml", "constraints.txt", "notes.txt"):
        Path(name).write_text("1")
    Path(".skyignore").write_text("draft.py\n")
    packing.pack_code(ARCHIVE)
    with tarfile.open(ARCHIVE) as tar:
        assert tar.getnames() == [
            *("constraints.txt", "pyproject.toml"),
            *("src/houses/main.py", "vendor/coldstart/src/engine.py"),
        ]
    Path("src/houses/.env").write_text("1")
    with pytest.raises(UserError, match=r"src/houses/\.env looks like a secret"):
        packing.pack_code(ARCHIVE)


def test_a_folder_is_uploaded_without_what_skyignore_lists(project: Path) -> None:
    Path("data/raw/draft.csv").write_text("size,age,price\n")
    Path("data/raw/deep").mkdir()
    Path("data/raw/deep/draft.csv").write_text("size,age,price\n")
    Path(".skyignore").write_text("# not yet\ndraft.csv\n")
    config = yaml.safe_load(Path("config.yaml").read_text()) | {"data": {"table": "data/raw"}}
    Path("config.yaml").write_text(yaml.safe_dump(config))
    assert packed() == ["config.yaml", "data/raw/houses.csv", "schema.yaml"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("server.pem", "anything"),
        ("id_ed25519", "anything"),
        (".env", "PASSWORD=x"),
        ("notes.csv", f"x\n{'-' * 5}BEGIN OPENSSH PRIVATE KEY-----\n"),
    ],
)
def test_a_secret_among_the_data_is_refused(project: Path, name: str, content: str) -> None:
    Path("data/raw", name).write_text(content)
    config = yaml.safe_load(Path("config.yaml").read_text()) | {"data": {"table": "data/raw"}}
    Path("config.yaml").write_text(yaml.safe_dump(config))
    message = "looks like a secret and is not uploaded: list it in .skyignore"
    assert refused() == f"data/raw/{name} {message}"
    assert not ARCHIVE.exists()


def test_files_outside_of_the_project_are_refused(project: Path) -> None:
    config = yaml.safe_load(Path("config.yaml").read_text())
    Path("../elsewhere.csv").write_text("size,age,price\n")
    Path("config.yaml").write_text(yaml.safe_dump(config | {"data": {"table": "../elsewhere.csv"}}))
    assert "outside of the project" in refused()
    Path("config.yaml").write_text(yaml.safe_dump(config | {"data": {"table": "data/raw/non.csv"}}))
    assert "no such file" in refused()


def test_a_machine_without_the_source_folder_resumes_the_same_training(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = provenance.source_identity(PROJECT)
    Path("src").mkdir()
    Path("src", PACKAGE).symlink_to(TEMPLATE / "src" / "{{cookiecutter.__package}}")
    assert provenance.source_identity(PROJECT) == here
    monkeypatch.chdir(tmp_path)
    assert provenance.source_identity(PROJECT) == here
    assert here[0] != hashlib.sha256().hexdigest()
