"""Training: from the raw files to registered models. This is the whole way, top to bottom."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import polars as pl
from mlflow import MlflowClient
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from . import provenance, registry, tracking
from .baselines import Baselines, baselines
from .bundle import CARD, CASES, CONTRACT, MODEL, REFERENCE, TESTED, Manifest, open_bundle, seal
from .card import model_card, with_families
from .cases import cases
from .errors import UserError
from .evaluation import Held, best_decision, interval, primary
from .export import check_parity, of_classes, to_graph
from .models import FAMILIES, check_choice, unsuited
from .plots import draw, importance
from .preparation import Prepared, counted, prepare
from .rounds import Predict, fit_family, known, seconds_for, test, validate
from .scoring import Scorer
from .settings import CHECKPOINTS, Settings
from .stages import Stages
from .summary import SHOWN, number, suspicion, table, verdict

REFERENCE_ROWS = 500
PATIENCE = 1.5  # how far a last model may go beyond the budget
IMPORTANCE_COLUMNS = 50  # the best alone of more
SMALL = 66  # dots an inch of the bundle's plots
TESTED_NUMBERS = 200_000  # that are kept of the predictions of the test rows
NEXT = "next: make serve (the API and its page), make ui (all runs)"

log = logging.getLogger(__name__)


class LeakError(UserError):
    """A test score that is too good to be true."""


@dataclass(frozen=True)
class Trained:
    """A model that was fitted, judged, logged and registered."""

    family: str
    version: str
    metrics: dict[str, Any]


def train(settings: Settings) -> None:
    """Train the chosen families, or those that suit, and make the best one the challenger.

    The challenger is the best on the validation rows; the test rows judge it, and
    choose nothing. If there is no champion yet, it goes through the gate at once.

    Raises
    ------
    UserError
        If something the person gave is wrong, or a model was refused.
    """
    check_choice(settings.models or [], settings.tuned)
    stages = Stages()
    prepared = prepare(settings)
    stages.ended(f"data: {counted(prepared)}")
    smallest = min((division.train for division in prepared.rounds), key=len)
    unsuitable = unsuited(prepared.contract, prepared.target(smallest))
    suited = [name for name in FAMILIES if name not in unsuitable]
    if len(prepared.rounds) > 1:  # for few rows it is the slowest, and rarely the best
        suited.sort(key=lambda name: name == "boosting")
    families = settings.models or suited
    if not settings.models and unsuitable:
        print("not tried:", "; ".join(f"{name}: {why}" for name, why in unsuitable.items()))
    client = tracking.connect(settings)

    start = time.monotonic()
    against = baselines(prepared)
    stages.ended(f"baselines: {next(iter(against.columns))} is the column that tells most alone")
    trained: list[Trained] = []
    refused: list[str] = []
    too_slow: list[str] = []
    left = list(families)
    with tqdm(total=len(families), unit="model", disable=None, leave=False) as bar:
        while left and (
            settings.models or not trained or time.monotonic() - start < settings.budget
        ):
            family = left.pop(0)
            bar.set_description(family)
            try:
                if trained and not settings.models:
                    estimate = seconds_for(settings, prepared, family)
                    if time.monotonic() - start + estimate > PATIENCE * settings.budget:
                        too_slow.append(f"{family} would take about {estimate:.0f} s")
                        bar.update()
                        continue
                model = train_family(client, settings, prepared, family, against)
                trained.append(model)
                score = f"{SHOWN[model.metrics['primary']]} {number(model.metrics['validation'])}"
                stages.ended(f"{family}: version {model.version}, {score} on the validation rows")
            except LeakError:
                raise
            except UserError as error:
                refused.append(f"{family}: {error}")
            bar.update()
    if left or too_slow:
        why = f"not tried, since the budget is {settings.budget:g} s"
        print(f"{why}: {', '.join([*too_slow, *left])}; more: make train BUDGET=5m")
    if trained:
        trained.sort(key=lambda model: model.metrics["validation"], reverse=True)
        metrics = {f"{model.family}, version {model.version}": model.metrics for model in trained}
        print(*table(metrics), sep="\n")
        print(*verdict(metrics, against), *suspicion(metrics, against), sep="\n")
        if settings.choose:
            make_challenger(client, settings, prepared, trained)
    if refused and (settings.models or not trained):
        raise UserError("\n".join(refused))
    if refused:
        print("refused:", *refused, sep="\n  ")


def make_challenger(
    client: MlflowClient, settings: Settings, prepared: Prepared, trained: list[Trained]
) -> None:
    """Point the registry to the best model, the first, which is the champion if there was none."""
    best = trained[0]
    families = {model.family: model.metrics for model in trained}
    registry.rewrite_card(
        client, settings, best.version, lambda card: with_families(card, families)
    )
    registry.point(client, settings, registry.CHALLENGER, best.version)
    print(f"challenger: version {best.version} ({best.family}), the best on the validation rows")
    if registry.version_of(client, settings, registry.CHAMPION) is None:
        try:
            print(f"champion: {registry.promote(client, settings, prepared)}", NEXT, sep="\n")
        except UserError as error:
            print(f"no champion yet: {error}")
        return
    registry.pull(client, settings, registry.CHAMPION)
    champion = open_bundle(registry.BUNDLES / registry.CHAMPION)
    if champion.target == prepared.contract.target:
        print("to make it the champion, if it is better: make promote")
    else:
        print(f"make serve still answers for {champion.target}; to change that: make promote")


def train_family(
    client: MlflowClient, settings: Settings, prepared: Prepared, family: str, against: Baselines
) -> Trained:
    """Fit, export, judge, log and register one model."""
    origin = {**provenance.collect(), "data": prepared.digest, "settings": settings.choices()}
    identity = json.dumps([family, prepared.digest, settings.choices(), origin["git_commit"]])
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()
    checkpoints = CHECKPOINTS / fingerprint[:16]
    folder = registry.BUNDLES / f".{family}.unfinished"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    once = len(prepared.rounds) == 1
    parts = Stages(log.info)

    with tracking.run(client, settings, family, fingerprint) as run_id:
        tracking.log_choices(settings, family, origin)
        start, busy = time.perf_counter(), cpu_seconds()

        def fit(rows: np.ndarray, purpose: str = "") -> Pipeline:
            report = tracking.EpochLog(settings.tracking_uri, run_id, purpose)
            return fit_family(
                settings,
                prepared,
                family,
                rows,
                checkpoints,
                report if purpose else None,
                stream=settings.neural.stream,
            )

        def fitted(rows: np.ndarray) -> Predict:
            pipeline = fit(rows, "selection" if once else "")
            return lambda others: of_classes(pipeline, prepared.features(others), prepared.classes)

        validated = validate(prepared, fitted)
        # The validation rows are the latest before the test, and worth fitting on. Where the
        # rounds have tested every row, by other models, none need be kept from this one.
        tested_rows = np.unique(np.concatenate([round.test for round in prepared.rounds]))
        rows = np.concatenate([known(round) for round in prepared.rounds])
        rows = rows if once else np.union1d(rows, tested_rows)
        pipeline = fit(rows, "final")
        held = None if once else test(prepared, fitted, validated)
        seconds, busy = time.perf_counter() - start, cpu_seconds() - busy
        parts.ended(f"{family}: fitted")

        features = prepared.features(tested_rows)
        onnx.save(to_graph(pipeline, features), folder / MODEL)
        shutil.copy(settings.contract, folder / CONTRACT)
        numbers = getattr(pipeline, "classes_", [])
        decision = best_decision(validated.target, validated.prediction[0])
        if "weights" in decision:
            decision["weights"] = [decision["weights"][number] for number in numbers]
        manifest = Manifest(
            family=family,
            target=prepared.contract.target,
            classes=[prepared.classes[number] for number in numbers],
            provenance={**origin, "run_id": run_id},
            **decision,
        )
        seal(folder, manifest)
        scorer = Scorer(folder)
        parity = check_parity(pipeline, scorer, features)
        parts.ended(f"{family}: exported, and compared with what was fitted")

        if held is None:
            # From here on the graph alone is asked: what serves is what is judged.
            held = test(
                prepared,
                lambda _: (
                    lambda others: scorer.predict_as(prepared.features(others), prepared.classes)
                ),
                validated,
            )
        manifest.metrics = {
            **judge(family, held, against, settings),
            "validation": validated.score(),
            "rounds": len(prepared.rounds),
            "parity": parity,
            "fit_seconds": seconds,
            "cpu_seconds": busy,
        }
        parts.ended(f"{family}: judged")
        registry.keep_tested(held, folder / TESTED, TESTED_NUMBERS)
        reference(prepared, scorer, rows).write_csv(folder / REFERENCE)
        chosen = cases(prepared, manifest, held)
        (folder / CASES).write_text(json.dumps(chosen, indent=2), encoding="utf-8")
        falls = importance(
            lambda features: scorer.predict_as(features, prepared.classes),
            prepared.contract,
            prepared.features(held.rows),
            held.target,
            list(against.columns)[:IMPORTANCE_COLUMNS],
            settings.seed,
        )
        figures = draw(family, prepared.classes, held, falls)
        for name, figure in figures.items():
            figure.savefig(folder / name, dpi=SMALL)
        card = model_card(prepared, manifest, held, against, scorer)
        (folder / CARD).write_text(card, encoding="utf-8")
        seal(folder, manifest)
        parts.ended(f"{family}: plots and card")

        tracking.log_results(manifest.metrics, figures, prepared.table, settings)
        example = prepared.features(tested_rows[:2])
        uri = tracking.log_bundle(folder, example, scorer.predict(example))
        version = registry.register(client, settings, uri, run_id)
    parts.ended(f"{family}: logged and registered")
    shutil.rmtree(folder)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return Trained(family, version, manifest.metrics)


def cpu_seconds() -> float:
    """Seconds that the cores have worked for this process and those that it waited for."""
    return sum(os.times()[:4])


def judge(family: str, held: Held, against: Baselines, settings: Settings) -> dict[str, Any]:
    """Measure predictions of the test rows, beside those that need no model.

    Raises
    ------
    LeakError
        If they are better than what config.yaml calls too good.
    """
    name = primary(0 if held.prediction.shape[2] == 1 else held.prediction.shape[2])
    metrics: dict[str, Any] = {
        "primary": name,
        "test": held.measure(),
        "interval": interval(held, seed=settings.seed),
        "baseline": against.dummy.measure(),
        "column": {"name": next(iter(against.columns)), **against.column.measure()},
    }
    if against.naive:
        metrics["naive"] = against.naive.measure()
    found = metrics["test"][name]
    if settings.too_good is not None and found > settings.too_good:
        raise LeakError(
            f"{family}: {name} on the test rows is {found:.3f}, above the "
            f"{settings.too_good} that config.yaml calls too good to be true.\n"
            "Look for a column that knows the outcome, and give it the role ignore; the best "
            f"alone: {', '.join(list(against.columns)[:3])}"
        )
    return metrics


def reference(prepared: Prepared, scorer: Scorer, fitted: np.ndarray) -> pl.DataFrame:
    """Some rows that the model was fitted on, with its predictions, to compare later ones with."""
    dice = np.random.default_rng(0)
    rows = dice.choice(fitted, min(REFERENCE_ROWS, len(fitted)), replace=False)
    table = prepared.table[rows].select(list(prepared.contract.features))
    prediction = scorer.predict(prepared.features(rows))
    return table.with_columns(pl.Series("__prediction__", prediction[:, -1]))
