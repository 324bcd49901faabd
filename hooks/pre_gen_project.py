"""Refuse names that cannot work, before anything is written."""

import json
import keyword
import re
import sys

# JSON escapes quotes and backslashes, so whatever was answered stays inside this string.
ANSWERS = json.loads(r"""{{ cookiecutter|tojson }}""")
NAME, SLUG, PACKAGE = (ANSWERS[key] for key in ("project_name", "project_slug", "__package"))
TEXTS = (NAME, ANSWERS["description"], ANSWERS["author"])

# A package of the same name would hide one that the project needs.
NEEDED = {
    *("coldstart", "docker", "fastapi", "fastapi_offline", "hatchling"),
    *("lightning_fabric", "matplotlib"),
    *("mlflow", "mypy", "numpy", "onnx", "onnxruntime", "onnxscript", "pandas", "pandera"),
    *("pip", "polars", "pyarrow", "pydantic", "pydantic_settings", "pytest", "rich", "ruff"),
    *("scipy", "skl2onnx", "sklearn", "starlette", "torch", "tqdm", "uv", "uvicorn", "yaml"),
    *("tests", "src", "test"),
}


def problem() -> str | None:
    """Say what is wrong with the answers."""
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", SLUG):
        return (
            f"{SLUG!r} cannot be the folder of {NAME!r}: use small letters, digits and single "
            "hyphens, and begin with a letter (for example: my-project)"
        )
    if len(SLUG) > 30:
        return f"{SLUG!r} is too long for a folder: use at most 30 characters"
    if keyword.iskeyword(PACKAGE) or keyword.issoftkeyword(PACKAGE):
        return f"{PACKAGE!r} is a word of Python itself: choose another name"
    if PACKAGE in sys.stdlib_module_names:
        return f"{PACKAGE!r} is a module of Python's standard library: choose another name"
    if PACKAGE in NEEDED:
        return f"{PACKAGE!r} is a package that the project itself needs: choose another name"
    for text in TEXTS:
        if not text.isprintable():
            return f"{text!a} has line breaks or control characters: write it on one line"
    return None


if found := problem():
    print(f"error: {found}", file=sys.stderr)
    sys.exit(1)
