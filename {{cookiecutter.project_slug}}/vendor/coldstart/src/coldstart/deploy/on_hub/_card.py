"""The model card at the Hub: that of the bundle, below the metadata that the Hub reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from coldstart.bundle._bundle import CARD, Manifest

LICENSE = Path("LICENSE")
LICENSES = {"MIT License": "mit", "BSD 3-Clause License": "bsd-3-clause"}
"""The Hub's name of a license, by its title."""

METRICS = {"r2": "r_squared", "f1_macro": "f1", "brier": "brier_score"}
"""The Hub's name of a metric, where it is another one."""

USE = """## Use

In a clone of the project, of whose engine the bundle needs version {engine}:

```
hf download {repo} --local-dir bundles/hub
python -m {package} predict --bundle bundles/hub --file rows.csv --out predictions.csv
```

`python -m {package} serve --bundle bundles/hub` serves the API. `model.onnx` contains the whole
pipeline; `schema.yaml` describes the columns that it takes. The bundle has no pickle in it."""


def hub_card(bundle: Path, manifest: Manifest, repo: str, title: str) -> ModelCard:
    """Return the card of a bundle, with metadata for the Hub."""
    provenance = manifest.provenance
    use = USE.format(
        repo=repo,
        package=provenance.get("package", "PACKAGE"),
        engine=provenance.get("engine", "1.0.0"),
    )
    parts = [f"---\n{metadata(manifest, repo, title).to_yaml()}\n---"]
    if CARD in manifest.files:
        parts.append((bundle / CARD).read_text(encoding="utf-8").strip())
    else:
        parts.append(f"# Model card: {manifest.family}")
    if plots := [name for name in manifest.files if name.endswith(".png")]:
        shown = [f"![{Path(name).stem.replace('_', ' ')}]({name})" for name in plots]
        parts.append("\n\n".join(["## Plots of the test rows", *shown]))
    return ModelCard("\n\n".join([*parts, use]) + "\n")


def metadata(manifest: Manifest, repo: str, title: str) -> ModelCardData:
    """Return what the Hub reads of a card: license, task, and the metrics on the test rows."""
    task = "tabular-classification" if manifest.classes else "tabular-regression"
    found: dict[str, float] = manifest.metrics.get("test", {})
    first = manifest.metrics.get("primary")
    names = sorted(found, key=lambda name: name != first)
    results = [
        EvalResult(
            task_type=task,
            dataset_type=repo.rpartition("/")[2],
            dataset_name=title,
            dataset_split="test",
            metric_type=METRICS.get(name, name),
            metric_name=name,
            metric_value=found[name],
        )
        for name in names
    ]
    return ModelCardData(
        library_name="onnx",
        pipeline_tag=task,
        tags=["onnx", "tabular", "coldstart", manifest.family],
        metrics=list(dict.fromkeys(METRICS.get(name, name) for name in names)) or None,
        model_name=title,
        eval_results=results or None,
        **license_metadata(),
    )


def license_metadata() -> dict[str, Any]:
    """Return what the Hub reads of the project's license; nothing for a project without one."""
    if not LICENSE.is_file():
        return {}
    name = LICENSE.read_text(encoding="utf-8").lstrip().partition("\n")[0].strip()
    if known := LICENSES.get(name):
        return {"license": known}
    return {"license": "other", "license_name": name[:60], "license_link": LICENSE.name}
