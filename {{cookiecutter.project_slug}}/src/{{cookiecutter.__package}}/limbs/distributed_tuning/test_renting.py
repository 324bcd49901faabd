"""What is rented for a search."""

from __future__ import annotations

from pathlib import Path

import pytest

from {{cookiecutter.__package}}.__main__ import (
    build,
    main,
)
from {{cookiecutter.__package}}.limbs.cloud.job import Job
from {{cookiecutter.__package}}.limbs.cloud.on_sky import choices
from {{cookiecutter.__package}}.limbs.distributed_tuning.commands import TuneOn


def test_machines_share_the_budget_and_a_folder_of_the_store(project: Path) -> None:
    asked = build(TuneOn, ["--on", "aws", "--machines", "4", "--dollars", "8", "--hours", "2"])
    assert isinstance(asked, TuneOn)
    written = {"envs": {"IMAGE": "a/b", "STORE": "s3://bucket/p"}, "resources": {}, "run": "true"}
    task = choices.chosen(written, asked)
    assert task["resources"]["max_hourly_cost"] == 1
    assert task["num_nodes"] == 1
    for name in ("first", "second"):
        job = Job(name, "p", ["tune-share"], 0, "together")
        envs = choices.compose(task, asked, job, "a/b@sha256:c", "s3://bucket/p/inputs/d")["envs"]
        assert envs["SHARED"] == "s3://bucket/p/shared/together"
        assert "--env SHARED" in envs["PASSED"]
        assert envs["STORE"] == f"s3://bucket/p/jobs/{name}"


def test_what_cannot_be_searched_is_refused_before_anything_is_begun(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, told in (
        (["--on", "aws", "--nodes", "2"], "MACHINES=..., not NODES=..."),
        (["--on", "aws", "--model", "forrest"], "there is no model 'forrest'"),
        (["--on", "ssh://nobody@127.0.0.1:1", "--model", "tree"], "is not reached"),
    ):
        assert main(["tune-on", *arguments]) == 2
        assert told in capsys.readouterr().err
    assert not list(Path("shared").glob("*"))
