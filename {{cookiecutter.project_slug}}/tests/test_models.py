"""Every family, on every task, ends in a graph that agrees with what was fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from {{cookiecutter.__package}}.bundle import CONTRACT, MODEL, Manifest, seal
from {{cookiecutter.__package}}.contract import Contract, Matrices
from {{cookiecutter.__package}}.evaluation import interval, score
from {{cookiecutter.__package}}.export import TOLERANCE, check_parity, to_graph
from {{cookiecutter.__package}}.features import as_frame
from {{cookiecutter.__package}}.models import FAMILIES, Context
from {{cookiecutter.__package}}.scoring import Scorer
from {{cookiecutter.__package}}.settings import Neural

TARGETS = {
    "two classes": {"type": "boolean"},
    "three classes": {"type": "category"},
    "regression": {"type": "number"},
}
COLUMNS = {
    "size": {"type": "number"},
    "noise": {"type": "number"},
    "rare": {"type": "number"},
    "wet": {"type": "boolean"},
    "shop": {"type": "category"},
    "day": {"type": "date"},
    "note": {"type": "text"},
}


def problem(task: str) -> tuple[Contract, Matrices, np.ndarray]:
    """Make rows of all types, with gaps and outliers, whose target depends on some of them."""
    dice = np.random.default_rng(0)
    n = 1500
    size = np.where(dice.random(n) < 0.1, np.nan, dice.normal(size=n))
    size[:5] = 1e12
    shop = np.where(dice.random(n) < 0.1, None, dice.choice(list("abcdefgh"), n))
    note = np.where(dice.random(n) < 0.5, "a fine day", "bad weather, Über alles; it's 2-10")
    hidden = np.nan_to_num(np.clip(size, -3, 3)) + 2.0 * (shop == "a") + (note == "a fine day")
    hidden = hidden + dice.normal(scale=0.3, size=n)
    table: dict[str, Any] = {
        "size": size,
        "noise": dice.normal(size=n) * 1e6,
        "rare": [1.0 if i % 100 == 0 else None for i in range(n)],
        "wet": dice.choice([True, False], n).tolist(),
        "shop": shop.tolist(),
        "day": np.array(dice.integers(0, 3000, n), dtype="datetime64[D]").tolist(),
        "note": note.tolist(),
    }
    target = {**TARGETS[task], "role": "target"}
    contract = Contract.model_validate({"columns": {**COLUMNS, "answer": target}})
    if task == "regression":
        answer = 1000 + 50 * hidden
    else:
        answer = np.digitize(hidden, [0.5] if task == "two classes" else [0, 1.5])
    return contract, contract.encode(table), answer


def fit(family: str, contract: Contract, rows: Matrices, answer: np.ndarray, folder: Path) -> Any:
    """Fit a family on the rows."""
    context = Context(
        contract=contract,
        seed=0,
        neural=Neural(epochs=15),
        checkpoints=folder / "checkpoints",
        report=lambda *_: None,
    )
    return FAMILIES[family](context).fit(as_frame(rows), answer)


def bundled(model: Any, contract: Contract, rows: Matrices, classes: int, folder: Path) -> Scorer:
    """Export a model to a bundle, and load it."""
    onnx.save(to_graph(model, rows), folder / MODEL)
    (folder / CONTRACT).write_text(contract.model_dump_json())
    names = [str(number) for number in range(classes)]
    threshold = 0.3 if classes == 2 else None
    seal(folder, Manifest(family="any", target="answer", classes=names, threshold=threshold))
    return Scorer(folder)


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_graph_agrees_with_the_model_and_beats_a_guess(
    family: str, task: str, tmp_path: Path
) -> None:
    contract, rows, answer = problem(task)
    model = fit(family, contract, rows[:1000], answer[:1000], tmp_path)
    classes = 0 if task == "regression" else len(np.unique(answer))
    folder = tmp_path / "bundle"
    folder.mkdir()
    scorer = bundled(model, contract, rows, classes, folder)

    assert check_parity(model, scorer, rows[1000:]) <= TOLERANCE

    found = scorer.predict(rows[1000:])
    if classes:
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        shares = np.bincount(answer[:1000]) / 1000
        guess = np.tile(shares, (500, 1))
    else:
        guess = np.full((500, 1), answer[:1000].mean())
    low, _ = interval(answer[1000:], found, guess)
    assert low > 0
    assert score(answer[1000:], found) > score(answer[1000:], guess)


def test_a_row_alone_gets_the_same_answer_as_among_others(tmp_path: Path) -> None:
    contract, rows, answer = problem("two classes")
    model = fit("boosting", contract, rows, answer, tmp_path)
    scorer = bundled(model, contract, rows, 2, tmp_path)
    alone = np.vstack([scorer.predict(rows[i : i + 1]) for i in range(50)])
    np.testing.assert_array_equal(alone, scorer.predict(rows)[:50])
