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
    rounds = prepared.rounds
    if len(rounds) == 1:
        parts = zip(PARTS, vars(rounds[0]).values(), strict=True)
        how = (
            ", ".join(f"{len(rows)} {part}" for part, rows in parts if len(rows))
            + ". The model was chosen on the validation rows, fitted on train and validation, "
            "and\njudged once on the test rows."
        )
    else:
        how = (
            f"few, so they were divided {len(rounds)} times. In each round a model was fitted\n"
            "without the rows that judge it; the scores are the means of the repetitions. The model"
            "\nhere was then fitted on all rows."
        )
    held = {"model": metrics["test"], f"`{metrics['column']['name']}` alone": metrics["column"]}
    if "naive" in metrics:
        held["a season ago"] = metrics["naive"]
    held["ignoring the input"] = metrics["baseline"]
    table = [
        f"| {name} | " + " | ".join(f"{found[name]:.4f}" for found in held.values()) + " |"
        for name in metrics["test"]
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
    if manifest.weights and len(set(manifest.weights)) > 1:
        decision = (
            "\nIts answer is the class whose probability, times a weight that favours rare ones, "
            "is\nlargest: that made the mean F1 on the validation rows best.\n"
        )
    return f"""# Model card: {manifest.family}

Predicts `{contract.target}`: {target.description}
{decision}
## Data

{len(prepared.table)} rows: {how}
SHA-256 of the prepared table: `{prepared.digest}`.

Features: {", ".join(f"`{name}`" for name in contract.features)}.

Left out:

{chr(10).join(left_out)}

## Test metrics

{metrics["primary"]}: {metrics["test"][metrics["primary"]]:.4f}, between {low:.4f} and {high:.4f}
with 95 % confidence (bootstrap of the test rows: it covers which rows were judged, not
which the model was fitted on).

| metric | {" | ".join(held)} |
|---|{"---|" * len(held)}
{chr(10).join(table)}

The exported graph differs from the fitted pipeline by at most {metrics["parity"]:.1e}.

## Origin

Run `{origin["run_id"]}`, git commit `{origin["git_commit"]}`
({"with uncommitted changes" if origin["git_dirty"] else "no uncommitted changes"}),
trained at {origin["trained_at"]}.
"""
