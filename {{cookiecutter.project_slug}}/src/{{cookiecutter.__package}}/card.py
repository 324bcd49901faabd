"""The model card, written from the run alone."""

from __future__ import annotations

from .bundle import Manifest
from .preparation import Prepared
from .splitting import PARTS


def model_card(prepared: Prepared, manifest: Manifest) -> str:
    """Describe a model in Markdown.

    References
    ----------
    Mitchell et al., "Model Cards for Model Reporting", 2019.
    """
    metrics, origin, contract = manifest.metrics, manifest.provenance, prepared.contract
    low, high = metrics["interval"]
    rows = ", ".join(f"{len(prepared.part(part))} {part}" for part in PARTS)
    table = [
        f"| {name} | {value:.4f} | {metrics['baseline'][name]:.4f} |"
        for name, value in metrics["test"].items()
    ]
    left_out = [
        f"- `{name}` ({column.role}): {column.reason or column.description or 'no reason given'}"
        for name, column in contract.columns.items()
        if column.role not in ("feature", "target")
    ]
    target = contract.columns[contract.target]
    decision = "" if manifest.threshold is None else (
        f"\nIt answers `{manifest.classes[1]}` from a probability of {manifest.threshold:.3f}, "
        "where F1 on the validation rows is best.\n"
    )  # fmt: skip
    return f"""# Model card: {manifest.family}

Predicts `{contract.target}`: {target.description}
{decision}
## Data

{len(prepared.table)} rows: {rows}. SHA-256 of the prepared table: `{prepared.digest}`.
The model was chosen on the validation rows, fitted on train and validation, and
judged once on the test rows.

Features: {", ".join(f"`{name}`" for name in contract.features)}.

Left out:

{chr(10).join(left_out)}

## Test metrics

{metrics["primary"]}: {metrics["test"][metrics["primary"]]:.4f}, between {low:.4f} and {high:.4f}
with 95 % confidence (bootstrap of the rows).

| metric | model | ignoring the input |
|---|---|---|
{chr(10).join(table)}

The exported graph differs from the fitted pipeline by at most {metrics["parity"]:.1e}.

## Origin

Run `{origin["run_id"]}`, git commit `{origin["git_commit"]}`
({"with uncommitted changes" if origin["git_dirty"] else "no uncommitted changes"}),
trained at {origin["trained_at"]}.
"""
