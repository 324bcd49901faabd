"""What is generated, before anything is installed."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import COMBINATIONS, ROOT, TEMPLATE, GeneratedProject

VENDOR = "vendor/"
MOST_FILES = 56
"""Files that a person owns: what nobody edits or is asked about belongs into the engine."""


@pytest.fixture(scope="module", params=COMBINATIONS.values(), ids=list(COMBINATIONS))
def project(
    request: pytest.FixtureRequest, generate: Callable[..., GeneratedProject]
) -> GeneratedProject:
    """A project of each combination of answers."""
    return generate(**request.param)


def expected_files(project: GeneratedProject, license: str) -> set[str]:
    """Return the template's files under their generated names."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=TEMPLATE,
        capture_output=True,
        text=True,
        check=True,
    )
    names = set()
    for name in filter(None, listed.stdout.split("\0")):
        if match := re.search(r"\{% if cookiecutter.license == '(.*)' %\}(.*)\{% endif %\}", name):
            if match[1] == license:
                names.add(match[2])
            continue
        names.add(name.replace("{{cookiecutter.__package}}", project.package))
    return names


def test_it_asks_at_most_eight_questions_each_with_a_prompt() -> None:
    answers = json.loads((ROOT / "cookiecutter.json").read_text())
    questions = {name for name in answers if not name.startswith("_")}
    assert 0 < len(questions) <= 8
    assert set(answers["__prompts__"]) == questions


def test_the_generated_files_are_the_expected_ones(
    project: GeneratedProject, request: pytest.FixtureRequest
) -> None:
    license = request.node.callspec.params["project"].get("license", "MIT")
    assert project.files() == expected_files(project, license)
    on_disk = {
        str(path.relative_to(project.path))
        for path in project.path.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(project.path).parts
    }
    assert on_disk == project.files()
    for name in project.files():  # the engine is copied as it is
        if name.startswith(VENDOR):
            assert (project.path / name).read_bytes() == (TEMPLATE / name).read_bytes(), name


def test_no_brace_of_the_template_is_left_and_no_file_is_empty(project: GeneratedProject) -> None:
    for name in project.files():
        if name.startswith(VENDOR):
            continue
        content = (project.path / name).read_bytes()
        assert content.strip(), f"{name} is empty"
        assert name.endswith(".gz") or b"cookiecutter" not in content, name
        if name.startswith(".github/workflows/"):  # braces are GitHub's there
            content = content.replace(b"${{", b"")
        # Grafana and Prometheus have templates of their own.
        if not (name.endswith(".gz") or name.startswith("infra/observability/")):
            assert not re.search(rb"\{\{|\{%", content), name


def test_the_python_is_python_and_the_toml_holds_the_answers(
    project: GeneratedProject, request: pytest.FixtureRequest
) -> None:
    answers = request.node.callspec.params["project"]
    for path in project.path.rglob("*.py"):
        ast.parse(path.read_text())
    about = tomllib.loads((project.path / "pyproject.toml").read_text())["project"]
    assert about["name"] == project.path.name
    assert about["authors"] == [{"name": answers.get("author", "Your Name")}]
    if "description" in answers:
        assert about["description"] == answers["description"]


def test_beside_the_engine_there_are_some_fifty_files(project: GeneratedProject) -> None:
    own = [name for name in project.files() if not name.startswith(VENDOR)]
    assert len(own) <= MOST_FILES, sorted(own)


def test_the_first_commit_is_made_and_the_tree_is_clean(project: GeneratedProject) -> None:
    engine = tomllib.loads((project.path / "vendor/coldstart/pyproject.toml").read_text())
    message = f"Generate the project with coldstart {engine['project']['version']}"
    assert project.run("git", "log", "--format=%s").stdout.splitlines() == [message]
    assert project.run("git", "status", "--porcelain").stdout == ""


def test_the_only_jinja_in_python_is_the_package_name_in_what_imports_it() -> None:
    for path in TEMPLATE.rglob("*.py"):
        body = path.read_text().replace("{{cookiecutter.__package}}", "package")
        assert path.is_relative_to(TEMPLATE / "vendor") or not re.search(r"\{\{|\{%", body), path
        ast.parse(body)
        if path.relative_to(TEMPLATE).parts[0] not in ("tests", "notebooks"):
            assert "cookiecutter" not in path.read_text(), path


def test_the_source_compiles_as_it_stands_in_the_template() -> None:
    source = [*(TEMPLATE / "src").rglob("*.py"), *(TEMPLATE / "vendor").rglob("*.py")]
    assert source
    for path in source:
        compile(path.read_text(), path, "exec")


def test_a_project_cannot_have_the_name_of_a_package_that_is_imported() -> None:
    hook = ast.parse((ROOT / "hooks/pre_gen_project.py").read_text())
    refused = {node.value for node in ast.walk(hook) if isinstance(node, ast.Constant)}
    imported = set()
    for path in [*(TEMPLATE / "src").rglob("*.py"), *(TEMPLATE / "vendor").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    assert {name.lower() for name in imported - sys.stdlib_module_names} <= refused  # as folders


def test_the_next_commands_are_printed(
    tmp_path: Path, cookiecutter_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = cookiecutter_command("--no-input", "-o", tmp_path, ROOT, "project_slug=my-project")
    assert "cd my-project && make train\n  make predict\n  make serve" in done.stdout


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"project_slug": "My Project"}, "small letters"),
        ({"project_slug": "1st"}, "small letters"),
        ({"project_slug": "../up"}, "small letters"),
        ({"project_slug": "a-" + "b" * 40}, "too long"),
        ({"project_name": "🐦🐦"}, "small letters"),
        ({"project_name": "Class"}, "word of Python"),
        ({"project_name": "Match"}, "word of Python"),
        ({"project_name": "Statistics"}, "standard library"),
        ({"project_name": "Torch"}, "the project itself needs"),
        ({"project_slug": "scikit-learn", "project_name": "x", "author": "a\nb"}, "one line"),
    ],
)
def test_a_bad_name_is_refused_in_one_line_and_leaves_nothing(
    answers: dict[str, str],
    reason: str,
    tmp_path: Path,
    cookiecutter_command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    given = [f"{name}={value}" for name, value in answers.items()]
    done = cookiecutter_command("--no-input", "-o", tmp_path / "out", ROOT, *given)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert reason in errors[0]
    assert not list((tmp_path / "out").glob("*"))
    assert not list(tmp_path.parent.glob("up*"))


@pytest.mark.parametrize("missing", ["git", "identity"])
def test_without_git_or_a_name_in_it_no_repository_is_left(
    missing: str,
    tmp_path: Path,
    cookiecutter_command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    environment = {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": ""}
    if missing == "git":
        environment["PATH"] = str(Path(sys.executable).parent)
    else:
        for role in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{role}_NAME": "", f"GIT_{role}_EMAIL": ""}
        environment["EMAIL"] = ""
    done = cookiecutter_command("--no-input", "-o", tmp_path / "out", ROOT, **environment)
    assert done.returncode == 0, done.stderr
    assert "No git repository was created" in done.stdout
    assert "make train" in done.stdout
    generated = tmp_path / "out" / "bird-strikes"
    assert (generated / "config.yaml").is_file()
    assert not (generated / ".git").exists()
