"""Put the project under version control, and say what comes next."""

import shutil
import subprocess
from pathlib import Path


def first_commit() -> bool:
    """Commit everything. Without git, or a name to commit under, leave no repository behind."""
    steps = (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "First commit"])
    try:
        for step in steps:
            subprocess.run(["git", *step], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        if Path(".git").is_dir():
            shutil.rmtree(".git")
        return False
    return True


if not first_commit():
    print("No git repository was made: git, or your name in it, is missing. All works without it;")
    print("for one, in the project's folder:")
    print('  git config --global user.name "Your Name"')
    print("  git config --global user.email you@example.com")
    print('  git init && git add --all && git commit -m "First commit"')
print("\nNext:\n  cd {{ cookiecutter.project_slug }} && make train\n  make predict\n  make serve")
if shutil.which("make") is None:
    print("There is no make here: infra/WITHOUT_MAKE.md has the same commands without it.")
