"""Training: from the raw files to registered models. This is the whole way, top to bottom."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
from mlflow import MlflowClient
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from . import provenance, registry, tracking
from .bundle import CARD, CONTRACT, MODEL, REFERENCE, Manifest, seal
from .card import model_card
from .errors import UserError
from .evaluation import best_threshold, interval, measure, primary, score
from .export import check_parity, predict, to_graph
from .features import as_frame
from .models import FAMILIES, Context
from .plots import draw
from .preparation import Prepared, encode, prepare
from .scoring import Scorer
from .settings import Settings
from .splitting import PARTS

CHECKPOINTS = Path("checkpoints")
REFERENCE_ROWS = 500


class LeakError(UserError):
    """A test score that is too good to be true."""


@dataclass(frozen=True)
class Fitted:
    """A pipeline, fitted on the train and validation rows.

    Attributes
    ----------
    threshold
        Probability of the second of two classes from which it is the answer.
    validation
        Score on the validation rows, when fitted on the train rows alone.
    """

    pipeline: Pipeline
    threshold: float | None
    validation: float
    seconds: float


@dataclass(frozen=True)
class Trained:
    """A model that was fitted, judged, logged and registered."""

    family: str
    version: str
    validation: float


def train(settings: Settings) -> None:
    """Train every chosen family, and make the best one the challenger.

    The challenger is the best on the validation rows; the test rows judge it, and
    choose nothing. If there is no champion yet, it goes through the gate at once.

    Raises
    ------
    UserError
        If something the person gave is wrong, or a model was refused.
    """
    for name in settings.models:
        if name not in FAMILIES:
            raise UserError(f"there is no model {name!r}; choose among {', '.join(FAMILIES)}")
    prepared = prepare(settings)
    counts = {part: len(prepared.part(part)) for part in PARTS}
    print(
        f"data: {len(prepared.table)} rows",
        *(f"{n} {part}" for part, n in counts.items()),
        sep=", ",
    )
    client = tracking.connect(settings)

    trained: list[Trained] = []
    refused: list[str] = []
    with tqdm(settings.models, unit="model", disable=None, leave=False) as families:
        for family in families:
            families.set_description(family)
            try:
                trained.append(train_family(client, settings, prepared, family))
            except LeakError:
                raise
            except UserError as error:
                refused.append(f"{family}: {error}")
    if trained:
        best = max(trained, key=lambda model: model.validation)
        registry.point(client, settings, registry.CHALLENGER, best.version)
        print(
            f"challenger: version {best.version} ({best.family}), the best on the validation rows"
        )
        if registry.version_of(client, settings, registry.CHAMPION) is None:
            try:
                print(f"champion: {registry.promote(client, settings, prepared)}")
            except UserError as error:
                print(f"no champion yet: {error}")
        else:
            print("to make it the champion, if it is better: make promote")
    if refused:
        raise UserError("\n".join(refused))


def train_family(
    client: MlflowClient, settings: Settings, prepared: Prepared, family: str
) -> Trained:
    """Fit, export, judge, log and register one model."""
    origin = {**provenance.collect(), "data": prepared.digest, "settings": settings.choices()}
    identity = json.dumps([family, prepared.digest, settings.choices(), origin["git_commit"]])
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()
    checkpoints = CHECKPOINTS / fingerprint[:16]
    folder = registry.BUNDLES / f".{family}.unfinished"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    test_table, test = prepared.part("test"), prepared.examples("test")

    with tracking.run(client, settings, family, fingerprint) as run_id:
        tracking.log_choices(settings, family, origin)

        def context(purpose: str) -> Context:
            report = tracking.EpochLog(settings.tracking_uri, run_id, purpose)
            return Context(prepared.contract, settings.seed, settings.neural, checkpoints, report)

        fitted = fit(family, context, prepared)

        onnx.save(to_graph(fitted.pipeline, test.features), folder / MODEL)
        shutil.copy(settings.contract, folder / CONTRACT)
        manifest = Manifest(
            family=family,
            target=prepared.contract.target,
            classes=prepared.classes,
            threshold=fitted.threshold,
            provenance={**origin, "run_id": run_id},
        )
        seal(folder, manifest)
        scorer = Scorer(folder)
        parity = check_parity(fitted.pipeline, scorer, test.features)

        # From here on the graph alone is asked: what serves is what is judged.
        prediction = scorer.predict(test.features)
        manifest.metrics = {
            **judge(scorer, prediction, prepared, settings),
            "validation": fitted.validation,
            "parity": parity,
            "fit_seconds": fitted.seconds,
        }
        reference(prepared, scorer).write_csv(folder / REFERENCE)
        (folder / CARD).write_text(model_card(prepared, manifest), encoding="utf-8")
        seal(folder, manifest)

        figures = draw(scorer, test_table, test.target, prediction, settings.seed)
        tracking.log_results(manifest.metrics, figures, prepared.table, settings)
        uri = tracking.log_bundle(folder, test.features[:2], prediction[:2])
        version = registry.register(client, settings, uri, run_id)
    shutil.rmtree(folder)
    shutil.rmtree(checkpoints, ignore_errors=True)
    tqdm.write(f"{family:10} {summary(manifest.metrics)}, version {version}")
    return Trained(family, version, fitted.validation)


def fit(family: str, context: Callable[[str], Context], prepared: Prepared) -> Fitted:
    """Fit on the train rows to see how good it is on the validation rows, then on both."""
    start = time.perf_counter()
    train, validation = prepared.examples("train"), prepared.examples("validation")
    chosen = FAMILIES[family](context("selection"))
    chosen.fit(as_frame(train.features), train.target)
    guess = predict(chosen, validation.features)
    threshold = best_threshold(validation.target, guess[:, 1]) if guess.shape[1] == 2 else None

    # The validation rows are the latest before the test, and worth fitting on.
    both = train + validation
    pipeline = FAMILIES[family](context("final"))
    pipeline.fit(as_frame(both.features), both.target)
    seconds = time.perf_counter() - start
    return Fitted(pipeline, threshold, score(validation.target, guess), seconds)


def judge(
    scorer: Scorer, prediction: np.ndarray, prepared: Prepared, settings: Settings
) -> dict[str, Any]:
    """Measure a prediction of the test rows, beside one that ignores its input.

    Raises
    ------
    LeakError
        If it is too good to be true.
    """
    target = prepared.target("test")
    baseline = baseline_prediction(prepared)
    name = primary(len(prepared.classes))
    metrics: dict[str, Any] = {
        "primary": name,
        "test": measure(target, prediction, scorer.labels(prediction)),
        "interval": interval(target, prediction, seed=settings.seed),
        "baseline": measure(target, baseline, scorer.labels(baseline)),
    }
    found = metrics["test"][name]
    if settings.too_good is not None and found > settings.too_good:
        raise LeakError(
            f"{scorer.manifest.family}: {name} on the test rows is {found:.3f}, above the "
            f"{settings.too_good} that config.yaml calls too good to be true.\n"
            "Look for a column that knows the outcome, and give it the role ignore."
        )
    return metrics


def summary(metrics: dict[str, Any]) -> str:
    """Sum up a model's metrics in a line."""
    name, (low, high) = metrics["primary"], metrics["interval"]
    guess = metrics["baseline"][name]
    warning = "" if low > guess else "NO BETTER THAN "
    return (
        f"{name} {metrics['test'][name]:.3f} ({low:.3f} to {high:.3f}; "
        f"{warning}ignoring the input {guess:.3f}), {metrics['fit_seconds']:.1f} s"
    )


def baseline_prediction(prepared: Prepared) -> np.ndarray:
    """Predict the test rows without looking at them: class shares, or the mean."""
    known = np.concatenate([prepared.target("train"), prepared.target("validation")])
    seen, unseen = np.zeros((len(known), 1)), np.zeros((len(prepared.part("test")), 1))
    if prepared.classes:
        shares: np.ndarray = DummyClassifier().fit(seen, known).predict_proba(unseen)
        return shares
    mean: np.ndarray = DummyRegressor().fit(seen, known).predict(unseen)
    return mean[:, None]


def reference(prepared: Prepared, scorer: Scorer) -> pl.DataFrame:
    """Some rows that the model was fitted on, with its predictions, to compare later ones with."""
    rows = pl.concat([prepared.part("train"), prepared.part("validation")])
    rows = rows.sample(min(REFERENCE_ROWS, len(rows)), seed=0).select(
        list(prepared.contract.features)
    )
    prediction = scorer.predict(encode(prepared.contract, rows))
    return rows.with_columns(pl.Series("__prediction__", prediction[:, -1]))
