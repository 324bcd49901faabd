"""Refuse names that cannot work, before anything is written."""

import json
import keyword
import re
import sys

# JSON escapes quotes and backslashes, so whatever was answered stays inside this string.
ANSWERS = json.loads(r"""{{ cookiecutter|tojson }}""")
NAME, SLUG, PACKAGE = (ANSWERS[key] for key in ("project_name", "project_slug", "__package"))
TEXTS = (NAME, ANSWERS["description"], ANSWERS["author"])

# A package of the same name would hide one that the project or its engine imports.
NEEDED = {
    *("anyio", "arro3", "boto3", "botocore", "chardet", "coldstart", "cyclonedx", "detect_secrets"),
    *("dlt", "docker", "dotenv", "fastapi", "fastapi_offline", "fastexcel", "filelock", "google"),
    *("hatchling", "httptools", "httpx2", "huggingface_hub", "jinja2", "lightgbm"),
    *("lightning_fabric", "mangum", "markdown_it", "markupsafe", "matplotlib", "mlflow", "mypy"),
    *("numpy", "onnx", "onnxmltools", "onnxruntime", "onnxscript", "optuna", "packageurl"),
    *("packaging", "pandas", "pathspec", "pil", "pip", "polars", "prometheus_client", "psycopg"),
    *("pyarrow", "pydantic", "pydantic_core", "pydantic_settings", "pytest", "pythonjsonlogger"),
    *("requests", "rich", "ruamel", "ruff", "scipy", "skl2onnx", "sklearn", "skrub", "sky"),
    *("sqlalchemy", "src", "starlette", "test", "tests", "threadpoolctl", "torch", "tqdm"),
    *("typing_extensions", "urllib3", "uv", "uvicorn", "uvloop", "vendor", "xgboost", "yaml"),
}


def problem() -> str | None:
    """Return what is wrong with the answers."""
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
