"""Training: from the raw files to registered models. This is the whole way, top to bottom."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
from mlflow import MlflowClient
from sklearn.dummy import DummyClassifier, DummyRegressor
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
from .preparation import Examples, Prepared, encode, prepare
from .scoring import Scorer
from .settings import Settings
from .splitting import PARTS

CHECKPOINTS = Path("checkpoints")
REFERENCE_ROWS = 500


class LeakError(UserError):
    """A test score that is too good to be true."""


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
    origin = {
        **provenance.collect(),
        "data": prepared.digest,
        "settings": settings.choices(),
    }
    identity = json.dumps([family, prepared.digest, settings.choices(), origin["git_commit"]])
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()
    training, validation = prepared.examples("train"), prepared.examples("validation")
    test_table, test = prepared.part("test"), prepared.examples("test")
    fitted_on = training + validation

    with tracking.run(client, settings, family, fingerprint) as run_id:
        tracking.log_choices(settings, family, origin)
        start = time.perf_counter()
        checkpoints = CHECKPOINTS / fingerprint[:16]

        def fit(purpose: str, examples: Examples) -> Any:
            context = Context(
                contract=prepared.contract,
                seed=settings.seed,
                neural=settings.neural,
                checkpoints=checkpoints,
                report=tracking.EpochLog(settings.tracking_uri, run_id, purpose),
            )
            pipeline = FAMILIES[family](context)
            return pipeline.fit(as_frame(examples.features), examples.target)

        # Chosen by the validation rows, ...
        chosen = fit("selection", training)
        guess = predict(chosen, validation.features)
        threshold = best_threshold(validation.target, guess[:, 1]) if guess.shape[1] == 2 else None
        # ... then fitted again with them: the latest rows before the test are worth most.
        pipeline = fit("final", fitted_on)
        seconds = time.perf_counter() - start

        folder = registry.BUNDLES / f".{family}.unfinished"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        onnx.save(to_graph(pipeline, test.features), folder / MODEL)
        shutil.copy(settings.contract, folder / CONTRACT)
        manifest = Manifest(
            family=family,
            target=prepared.contract.target,
            classes=prepared.classes,
            threshold=threshold,
            provenance={**origin, "run_id": run_id},
        )
        seal(folder, manifest)
        scorer = Scorer(folder)

        parity = check_parity(pipeline, scorer, test.features)
        prediction = scorer.predict(test.features)
        baseline = baseline_prediction(fitted_on, len(test.target), prepared)
        name = primary(len(prepared.classes))
        metrics = measure(test.target, prediction, scorer.labels(prediction))
        manifest.metrics = {
            "primary": name,
            "test": metrics,
            "interval": interval(test.target, prediction, seed=settings.seed),
            "baseline": measure(test.target, baseline, scorer.labels(baseline)),
            "validation": score(validation.target, guess),
            "parity": parity,
            "fit_seconds": seconds,
        }
        if settings.too_good is not None and metrics[name] > settings.too_good:
            raise LeakError(
                f"{family}: {name} on the test rows is {metrics[name]:.3f}, above the "
                f"{settings.too_good} that config.yaml calls too good to be true.\n"
                "Look for a column that knows the outcome, and give it the role ignore."
            )
        reference(prepared, scorer).write_csv(folder / REFERENCE)
        (folder / CARD).write_text(model_card(prepared, manifest), encoding="utf-8")
        seal(folder, manifest)

        flat = {f"test_{key}": value for key, value in metrics.items()}
        flat |= {f"baseline_{name}": manifest.metrics["baseline"][name]}
        flat |= {f"validation_{name}": manifest.metrics["validation"]}
        flat |= {"parity": parity, "fit_seconds": seconds}
        figures = draw(scorer, test_table, test.target, prediction, settings.seed)
        tracking.log_results(flat, figures, prepared.table, settings)
        uri = tracking.log_bundle(folder, test.features[:2], prediction[:2])
        version = registry.register(client, settings, uri, run_id)
    shutil.rmtree(folder)
    shutil.rmtree(checkpoints, ignore_errors=True)
    low, high = manifest.metrics["interval"]
    tqdm.write(
        f"{family:10} {name} {metrics[name]:.3f} ({low:.3f} to {high:.3f}; a model that ignores "
        f"its input {manifest.metrics['baseline'][name]:.3f}), version {version}, {seconds:.1f} s"
    )
    return Trained(family, version, manifest.metrics["validation"])


def baseline_prediction(fitted_on: Examples, n: int, prepared: Prepared) -> np.ndarray:
    """Predict n rows without looking at them: class shares, or the mean."""
    nothing = np.zeros((len(fitted_on.target), 1))
    if prepared.classes:
        dummy = DummyClassifier(strategy="prior").fit(nothing, fitted_on.target)
        shares: np.ndarray = dummy.predict_proba(np.zeros((n, 1)))
        return shares
    return np.full((n, 1), DummyRegressor().fit(nothing, fitted_on.target).constant_.item())


def reference(prepared: Prepared, scorer: Scorer) -> pl.DataFrame:
    """Some rows that the model was fitted on, with its predictions, to compare later ones with."""
    rows = pl.concat([prepared.part("train"), prepared.part("validation")])
    rows = rows.sample(min(REFERENCE_ROWS, len(rows)), seed=0).select(
        list(prepared.contract.features)
    )
    prediction = scorer.predict(encode(prepared.contract, rows))
    return rows.with_columns(pl.Series("__prediction__", prediction[:, -1]))
