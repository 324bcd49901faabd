"""Training: from the table to registered models. Run it with `make train`."""

from __future__ import annotations

import mlflow
from mlflow import MlflowClient

from coldstart import Settings, StageTimer
from coldstart.data import Dataset, describe_split, prepare
from coldstart.export import check_parity, to_onnx
from coldstart.model_card import model_card
from coldstart.tracking import (
    Candidate,
    TrainingRun,
    choose_challenger,
    complete_bundle,
    connect,
    flat_metrics,
    log_bundle,
    log_parameters,
    log_table,
    make_manifest,
    register,
    start_run,
    write_bundle,
)
from coldstart.train import (
    ENSEMBLE,
    Baselines,
    Ensemble,
    Fitter,
    TrainingQueue,
    build_ensemble,
    calibrate,
    conformalize,
    draw,
    evaluate,
    evaluate_baselines,
    evaluate_confirmed,
    evaluate_coverage,
    evaluate_horizon,
    exported,
    importance,
    predict_test_rows,
    predict_validation_rows,
    print_results,
    validate_families,
    warn_of_shift,
)

from .models import FAMILIES, SEARCH_SPACES, unsuitable_families


def train(settings: Settings) -> None:
    """Train the chosen model types, or those that suit, and make the best one the challenger.

    The validation rows choose the threshold and the challenger, the best model of this training.
    The test rows evaluate each model. `make promote` compares challenger and champion on them,
    and makes the challenger the champion, the model that is served, if it is better. The first
    challenger is promoted here if it beats the baselines.
    """
    validate_families(settings.models or [], settings.tuned, FAMILIES, SEARCH_SPACES)
    stages = StageTimer()  # prints a line for each stage, with its time
    dataset = prepare(settings)
    stages.done(f"data: {describe_split(dataset)}")
    print(f"metric: {dataset.objective}")
    warn_of_shift(dataset)
    client = connect(settings)
    unsuitable = unsuitable_families(dataset.contract, dataset.target(dataset.smallest_part))
    queue = TrainingQueue(FAMILIES, settings, dataset, unsuitable)
    baselines = evaluate_baselines(dataset)
    stages.done(f"baselines: {baselines.best_column()}")
    candidates, fitters = [], {}
    for name in queue:
        with queue.attempt(name), start_run(client, settings, dataset, name) as run:
            fitter = Fitter(
                family=FAMILIES[name],
                settings=settings,
                dataset=dataset,
                hyperparameters=settings.tuned.get(name, {}),
                checkpoints=run.checkpoints,
                report=None if len(dataset.splits) > 1 else run.report("selection"),
                stream=settings.neural.stream,
            )
            candidates.append(complete(name, fitter, run, client, settings, dataset, baselines))
            fitters[name] = fitter
            stages.done(str(candidates[-1]))

    # The average of the best models, without another fit.
    ensemble = build_ensemble(dataset, fitters) if queue.tries_ensemble() else None
    if ensemble:
        with queue.attempt(ENSEMBLE), start_run(client, settings, dataset, ENSEMBLE) as run:
            candidates.append(
                complete(ENSEMBLE, ensemble, run, client, settings, dataset, baselines)
            )
            stages.done(str(candidates[-1]))

    if candidates:
        print_results(candidates, baselines)
        if settings.choose:
            choose_challenger(client, settings, dataset, candidates)
    queue.finish()


def complete(
    name: str,
    fitter: Fitter | Ensemble,
    run: TrainingRun,
    client: MlflowClient,
    settings: Settings,
    dataset: Dataset,
    baselines: Baselines,
) -> Candidate:
    """Fit one model, export and evaluate it, and log and register all of that."""
    # Fit on the training rows and predict the validation rows; then refit on both. Probabilities
    # are calibrated if that pays.
    calibrated = calibrate(dataset, fitter)
    validation = predict_validation_rows(dataset, calibrated)
    # How far these predictions were off tells how sure later ones are.
    intervals = conformalize(
        dataset, validation, settings.coverage, baselines.validation_paths, calibrated
    )
    model = calibrated.fit(dataset.fitting_rows, run.report("final"))

    # Export preprocessing and model to one graph, and compare it with the fitted model.
    manifest = make_manifest(name, model, dataset, validation, run.provenance, intervals)
    test_features = dataset.features(dataset.test_rows)
    graph = to_onnx(model, test_features)
    predictor = write_bundle(run.folder, graph, manifest, settings.contract)
    parity = check_parity(model, predictor, test_features)

    # Evaluate on the test rows: the exported graph, or with few rows each fold's own model.
    source = calibrated if len(dataset.splits) > 1 else exported(predictor, dataset)
    test = predict_test_rows(dataset, source, validation)
    manifest.metrics = {
        **evaluate(name, test, baselines, settings.leak_threshold, settings.seed),
        **evaluate_coverage(intervals, test),
        **evaluate_horizon(dataset, baselines.paths, source, intervals),
        **evaluate_confirmed(dataset, calibrated, baselines),
        "validation": validation.score(),
        "folds": len(dataset.splits),
        "parity": parity,
        "fit_seconds": calibrated.seconds,
        "cpu_seconds": calibrated.cpu_seconds,
    }
    figures = draw(name, dataset, test, importance(predictor, dataset, test, baselines))
    card = model_card(dataset, manifest, test, baselines, predictor)
    complete_bundle(predictor, manifest, dataset, test, figures, card)

    # Log all of it to MLflow, and register the model. Add your own calls here.
    log_parameters(settings, name, model)
    mlflow.log_metrics(flat_metrics(manifest.metrics))
    for file in figures:
        mlflow.log_artifact(str(run.folder / file), "plots")
    mlflow.log_text(card, "MODEL_CARD.md")
    mlflow.log_artifact(str(settings.contract))
    log_table(dataset.table, str(settings.data.table))
    model_uri = log_bundle(settings.project, run.folder, predictor)
    version = register(client, settings, model_uri, run.id)
    return Candidate(name, version, manifest.metrics)
