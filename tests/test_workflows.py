"""Workflows, hooks, dev container and .env.example: the template's own and those of a project."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import botocore
import huggingface_hub.utils._auth
import pytest
import yaml
from conftest import ROOT, TEMPLATE, GeneratedProject, targets

from coldstart import Settings
from coldstart.config import ServingSettings
from coldstart.config._settings import UI_PORT

ENGINE = TEMPLATE / "vendor" / "coldstart" / "src" / "coldstart"
FOLDERS = (ROOT / ".github", TEMPLATE / ".github")
WORKFLOWS = [path for folder in FOLDERS for path in sorted(folder.glob("workflows/*.yml"))]
NAMES = ["/".join(path.relative_to(ROOT).parts[-4:]) for path in WORKFLOWS]

# Beside what make offers: the build machine's script, and what a fresh clone in a container needs.
OTHERS = {
    ".ci/run",
    ".ci/run test-weekly",
    'git config --global --add safe.directory "$GITHUB_WORKSPACE"',
}
ISSUE = "Open an issue, or add to the one that is open"
COMMIT = "Commit what was collected"
REQUEST = "Open a pull request with the card's differences"
NO_DATA = "Report that there is no data"
SCRIPTS = (ISSUE, COMMIT, REQUEST, NO_DATA)
HAS_DATA = "hashFiles('data/raw/**', '!data/raw/README.md') != ''"

# Where the tests run what a workflow runs make for.
RUN_IN = {
    "setup": ("tests/project/test_installing.py", 'project.run("make", "setup"'),
    "lint": ("tests/project/test_lint.py", 'project.make("lint")'),
    "test": ("tests/project/test_own_tests.py", 'project.make("test"'),
    "collect": ("tests/project/test_own_tests.py", 'copied.make("collect")'),
    "train": ("tests/conftest.py", 'installed.make("train")'),
    "promote": ("tests/engine/test_registry.py", 'main(["promote"'),
    "image": ("tests/test_images.py", 'trained.make("image"'),
    "pull": ("tests/test_platform.py", 'project.make("pull"'),
    "deploy": ("tests/test_lambda.py", 'project.command("deploy", "--on", "aws"'),
    "pins": ("tests/test_workflows.py", 'copied.make("pins")'),
    "audit": ("tests/engine/doctor/test_doctor.py", 'main(["audit"])'),
}


class Step(NamedTuple):
    """A step of a workflow, and where it is."""

    workflow: Path
    job: dict[str, Any]
    step: dict[str, Any]


def load(path: Path) -> Any:
    """Read YAML; `on` is a word in it, and no truth value."""
    return yaml.load(path.read_text(), yaml.BaseLoader)


def steps() -> Iterator[Step]:
    """All steps of all workflows."""
    for path in WORKFLOWS:
        for job in load(path)["jobs"].values():
            for step in job["steps"]:
                yield Step(path, job, step)


def tool(name: str, *arguments: Any, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the template's environment."""
    program = Path(sys.executable).with_name(name)
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, env=os.environ | env, capture_output=True, text=True)


def schema(name: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """Hold files against a schema that comes with check-jsonschema."""
    return tool("check-jsonschema", "--builtin-schema", name, *files)


@pytest.mark.parametrize(
    ("name", "files", "right", "wrong"),
    [
        ("vendor.github-workflows", WORKFLOWS, "runs-on:", "runs_on:"),
        ("custom.github-workflows-require-timeout", WORKFLOWS, "timeout-minutes:", "# "),
        ("vendor.dependabot", [f / "dependabot.yml" for f in FOLDERS], "weekly", "sometimes"),
    ],
)
def test_github_takes_what_is_written(
    name: str, files: list[Path], right: str, wrong: str, tmp_path: Path
) -> None:
    done = schema(name, *files)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "broken.yml"
    broken.write_text(files[0].read_text().replace(right, wrong))
    assert schema(name, broken).returncode == 1


def test_workflows_open_no_way_in(tmp_path: Path) -> None:
    settings = tmp_path / "zizmor.yml"
    policies = {"policies": {"*": "ref-pin"}}
    settings.write_text(yaml.safe_dump({"rules": {"unpinned-uses": {"config": policies}}}))
    done = tool("zizmor", "--offline", "--config", settings, *FOLDERS)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / ".github" / "workflows" / "broken.yml"
    broken.parent.mkdir(parents=True)
    text = WORKFLOWS[0].read_text()
    broken.write_text(text.replace("make newest", "echo ${{ github.event.issue.title }}"))
    assert broken.read_text() != text
    done = tool("zizmor", "--offline", "--config", settings, broken)
    assert "template-injection" in done.stdout


def test_every_step_is_one_of_makes_commands_and_is_run_in_our_tests() -> None:
    asked = set()
    for path, _, step in steps():
        if "run" not in step or step["run"] in OTHERS or step.get("name") in SCRIPTS:
            continue
        found = re.fullmatch(r"make ([a-z-]+)( [A-Z]+=[a-z]+)*", step["run"])
        assert found, f"{path}: {step['run']}"
        if path.is_relative_to(TEMPLATE):
            asked.add(found[1])
        else:
            assert found[1] in targets(ROOT / "Makefile"), step["run"]
    assert asked <= targets(TEMPLATE / "Makefile")
    assert asked == set(RUN_IN)
    for file, text in RUN_IN.values():
        assert text in (ROOT / file).read_text(), text


def test_without_data_a_project_collects_it_or_trains_nothing() -> None:
    found = {"make collect": 0, "make train MODEL=linear": 0, "make image": 0}
    for path, _, step in steps():
        if path != TEMPLATE / ".github/workflows/test.yml":
            continue
        if step.get("run") in found:
            found[step["run"]] += 1
            collects = step["run"] == "make collect"
            assert step["if"] == (HAS_DATA.replace("!=", "==") if collects else HAS_DATA)
            assert step.get("continue-on-error", "false") == str(collects).lower()
        elif step.get("name") == NO_DATA:
            assert step["if"] == HAS_DATA.replace("!=", "==")
            assert "::warning" in step["run"]
    assert found == {"make collect": 2, "make train MODEL=linear": 1, "make image": 1}


def test_a_workflow_may_read_and_a_job_only_what_it_is_for() -> None:
    granted = {}
    for path, name in zip(WORKFLOWS, NAMES, strict=True):
        content = load(path)
        assert content["permissions"] == {"contents": "read"}, path
        assert "concurrency" in content, path
        for job in content["jobs"].values():
            more = sorted(job.get("permissions", {}).items() - content["permissions"].items())
            if more:
                granted[name.rpartition("/")[2], *more] = job.get("environment")
        assert "secrets." not in path.read_text(), path  # a token of the run's own will do
    assert granted == {
        ("newest.yml", ("issues", "write")): None,
        ("deploy.yml", ("id-token", "write")): "production",
        ("retrain.yml", ("contents", "write"), ("pull-requests", "write")): None,
        ("pages.yml", ("id-token", "write"), ("pages", "write")): "github-pages",
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=["template", "project"])
@pytest.mark.parametrize("open_issue", ["", "7"])
def test_what_breaks_with_the_newest_versions_is_told_in_one_issue(
    folder: Path, open_issue: str, tmp_path: Path
) -> None:
    path = folder / "workflows" / "newest.yml"
    (script,) = (
        one.step["run"] for one in steps() if one[0] == path and one.step.get("name") == ISSUE
    )
    old = tmp_path / ("" if path.is_relative_to(TEMPLATE) else "{{cookiecutter.project_slug}}")
    new = tmp_path / ("" if path.is_relative_to(TEMPLATE) else ".newest/my-project")
    git = ["git", "-C", str(tmp_path)]
    for place, version in ((old, "1"), (new, "2")):
        place.mkdir(parents=True, exist_ok=True)
        (place / "constraints.txt").write_text(f"same==1\nmoved=={version}\n")
        if version == "1":
            subprocess.run([*git, "init", "-q"], check=True)
            subprocess.run([*git, "add", "-A"], check=True)
            subprocess.run([*git, "commit", "-qm", "Before"], check=True)
    stand_in = tmp_path / "bin" / "gh"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f'#!/bin/sh\necho "$@" >> told\n[ "$2" != list ] || printf "{open_issue}"\n'
    )
    stand_in.chmod(0o755)
    env = {"PATH": f"{stand_in.parent}:{os.environ['PATH']}", "RUN": "https://github.com/run/1"}
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in (tmp_path / "told").read_text().splitlines() if "list" not in line]
    assert len(told) == 2
    assert told[0].startswith("label create newest --force")
    assert told[1].startswith(f"issue comment {open_issue} " if open_issue else "issue create ")
    body = (tmp_path / "issue.md").read_text()
    assert env["RUN"] in body
    assert [line for line in body.splitlines() if "==" in line] == ["< moved==1", "> moved==2"]


@pytest.fixture
def retrained(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """`retrained(name)`: run a script of retrain.yml in a clone; return the step's outputs."""
    clone, temporary = tmp_path / "clone", tmp_path / "temporary"
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "origin"], check=True)
    subprocess.run(["git", "clone", "-q", tmp_path / "origin", clone], check=True)
    (clone / "bundles/champion").mkdir(parents=True)
    (clone / "bundles/champion/MODEL_CARD.md").write_text("# Model card\n\nAP 0.5\n")
    (clone / ".gitignore").write_text("/bundles/\n")
    (clone / "rows.csv").write_text("1\n")
    subprocess.run(["git", "add", "-A"], cwd=clone, check=True)
    subprocess.run(["git", "commit", "-qm", "Before"], cwd=clone, check=True)
    stand_in = tmp_path / "bin" / "gh"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\necho "$@" >> "$RUNNER_TEMP/told"\n')
    stand_in.chmod(0o755)
    temporary.mkdir()
    env = {
        **os.environ,
        "PATH": f"{stand_in.parent}:{os.environ['PATH']}",
        "RUN": "https://github.com/run/1",
        "RUNNER_TEMP": str(temporary),
        "GITHUB_RUN_ID": "1",
        "GITHUB_OUTPUT": str(temporary / "output"),
    }

    def run(name: str) -> dict[str, str]:
        (script,) = (one.step["run"] for one in steps() if one.step.get("name") == name)
        (temporary / "output").write_text("")
        # As GitHub runs it.
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(shell, cwd=clone, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = (temporary / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    return run


def test_a_new_champion_is_proposed_with_what_differs_in_its_card(
    retrained: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "clone/rows.csv").write_text("1\n2\n")
    assert retrained(COMMIT) == {"new": "true"}
    git = ["git", "-C", str(tmp_path / "clone")]
    status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True)
    assert status.stdout == b""  # or the gate would refuse what is trained now
    (tmp_path / "clone/bundles/champion/MODEL_CARD.md").write_text("# Model card\n\nAP 0.6\n")
    retrained(REQUEST)
    told = (tmp_path / "temporary/told").read_text().splitlines()
    assert told[0] == "auth setup-git"
    assert told[1].startswith("pr create --head retrain-1 ")
    body = (tmp_path / "temporary/body.md").read_text()
    assert "https://github.com/run/1" in body
    assert "\n-AP 0.5\n+AP 0.6\n" in body
    shown = ["git", "-C", str(tmp_path / "origin"), "show", "--stat", "--format=", "retrain-1"]
    files = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    assert "MODEL_CARD.md" in files


def test_without_new_rows_nothing_is_trained(
    retrained: Callable[[str], dict[str, str]],
) -> None:
    assert retrained(COMMIT) == {}
    job = load(TEMPLATE / ".github/workflows/retrain.yml")["jobs"]["retrain"]
    runs = {step["run"]: step.get("if", "") for step in job["steps"] if "run" in step}
    for command in ("make train", "make promote"):
        assert runs[command] == "steps.collected.outputs.new == 'true'"
    (proposed,) = (one.step for one in steps() if one.step.get("name") == REQUEST)
    assert proposed["if"] == "steps.gate.outcome == 'success'"


def test_the_container_is_json_makes_the_environment_and_forwards_its_ports(
    generate: Callable[..., GeneratedProject],
) -> None:
    project = generate()
    content = json.loads((project.path / ".devcontainer/devcontainer.json").read_text())
    assert content["name"] == project.path.name
    assert content["postCreateCommand"] == "make setup"
    ports = [ServingSettings().port, UI_PORT]
    assert sorted(content["forwardPorts"]) == sorted(ports)
    assert {int(port) for port in content["portsAttributes"]} == set(ports)
    for path in (TEMPLATE / ".github" / "workflows").iterdir():
        assert (project.path / ".github/workflows" / path.name).read_bytes() == path.read_bytes()


def test_each_variable_of_the_env_example_is_read_by_something(
    generate: Callable[..., GeneratedProject],
) -> None:
    project = generate()
    lines = (project.path / ".env.example").read_text().splitlines()
    assert all(line.startswith("#") for line in lines if line)  # a copy of it changes nothing
    names = [found[1] for line in lines if (found := re.match(r"#([A-Z][A-Z_]+)=", line))]
    assert len(names) == len(set(names)) > 10
    code = [*ENGINE.rglob("*.py")]
    code += [Path(botocore.__file__).with_name(f"{name}.py") for name in ("credentials", "session")]
    code += [Path(botocore.__file__).with_name("configprovider.py")]
    code += [Path(huggingface_hub.utils._auth.__file__)]
    read = "\n".join(path.read_text() for path in code).replace("{part}", "")
    documented = "\n".join(path.read_text() for path in (ROOT / "docs/how-to").glob("*.md"))
    prefix = f"{project.package.upper()}_"
    for name in names:
        if name.startswith(prefix):
            kind: Any = Settings
            for field in name.removeprefix(prefix).lower().split("__"):
                kind = kind.model_fields[field].annotation
        else:
            quoted = re.search(rf"""["']{name}["']""", read)
            assert quoted or f"${{{name}}}" in documented, name


def test_the_stack_of_the_deployment_is_a_template_that_cloudformation_knows(
    tmp_path: Path,
) -> None:
    file = TEMPLATE / "infra" / "deploy" / "stack.yaml"
    stack = tmp_path / "stack.yaml"
    stack.write_text(file.read_text().replace("{{cookiecutter.project_slug}}", "my-project"))
    broken = tmp_path / "broken.yaml"
    broken.write_text(stack.read_text().replace("PolicyDocument", "PolicyDokument"))
    done = tool("cfn-lint", "-c", "I", "--", stack, broken)
    assert str(broken) in done.stdout, done.stderr
    assert str(stack) not in done.stdout, done.stdout


@pytest.mark.slow
def test_a_commit_is_checked_by_the_projects_own_tools(
    copied: GeneratedProject, tmp_path: Path
) -> None:
    home = {"PRE_COMMIT_HOME": str(tmp_path / "hooks")}
    program = Path(sys.executable).with_name("pre-commit")
    assert copied.run(program, "install", **home).returncode == 0
    (copied.path / "src" / copied.package / "fine.py").write_text('"""Nothing."""\n')
    copied.run("git", "add", "src")
    done = copied.run("git", "commit", "-m", "Fine", **home)
    assert done.returncode == 0, done.stderr
    (copied.path / "src" / copied.package / "odd.py").write_text('"""Odd."""\n\nimport  os\n')
    copied.run("git", "add", "src")
    done = copied.run("git", "commit", "-m", "Odd", **home)
    assert done.returncode != 0
    assert "F401" in done.stderr
    assert "would be reformatted" in done.stderr
    assert (tmp_path / "hooks").is_dir()
    assert not list((tmp_path / "hooks").glob("repo*")), "something was fetched"


@pytest.mark.slow
def test_the_newest_versions_are_found_and_then_installed_before_anything_else(
    copied: GeneratedProject,
) -> None:
    assert "infra/environment.py" not in copied.make("--dry-run", "lint", "test").stdout
    copied.make("pins")
    pins = set(re.findall(r"^([a-z0-9-]+)==", (copied.path / "constraints.txt").read_text(), re.M))
    about = tomllib.loads((copied.path / "pyproject.toml").read_text())["project"]
    engine = copied.path / "vendor/coldstart/pyproject.toml"
    wanted = [*about["optional-dependencies"]["dev"]]
    about = tomllib.loads(engine.read_text())["project"]
    wanted += [*about["dependencies"], *about["optional-dependencies"]["train"]]
    names = {re.split(r"[<>=;\[ ]", name)[0] for name in wanted} - {copied.path.name}
    assert names <= pins
    assert not [name for name in pins if name.startswith(("nvidia", "cuda", "triton"))]
    first, *_ = copied.make("--dry-run", "lint", "test").stdout.splitlines()
    assert "infra/environment.py" in first
