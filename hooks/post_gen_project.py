"""Put the project under version control, and print the next commands."""

import re
import shutil
import subprocess
from pathlib import Path

ENGINE = Path("vendor/coldstart/pyproject.toml")


def remove_caches() -> None:
    """Delete what tools left in the template's folders, which are copied as they are."""
    for pattern in ("__pycache__", ".*_cache"):
        for folder in list(Path().rglob(pattern)):
            shutil.rmtree(folder)


def first_commit() -> bool:
    """Commit everything. Without git, or a name to commit under, leave no repository behind."""
    version = re.search(r'^version = "(.*)"', ENGINE.read_text("utf-8"), re.MULTILINE)
    message = f"Generate the project with coldstart {version[1] if version else ''}".rstrip()
    steps = (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", message])
    try:
        for step in steps:
            subprocess.run(["git", *step], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        if Path(".git").is_dir():
            shutil.rmtree(".git")
        return False
    return True


remove_caches()
if not first_commit():
    print("No git repository was created: git, or your name in it, is missing. Everything works")
    print("without one. To create one later, in the project's folder:")
    print('  git config --global user.name "Your Name"')
    print("  git config --global user.email you@example.com")
    print('  git init && git add --all && git commit -m "First commit"')
print("\nNext:\n  cd {{ cookiecutter.project_slug }} && make train\n  make predict\n  make serve")
if shutil.which("make") is None:
    print("Without make: python infra/environment.py creates .venv, and each target is a command:")
    print("  python -m {{ cookiecutter.__package }} train")
