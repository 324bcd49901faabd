"""The result of a search: tuned hyperparameters compared with the defaults."""

from __future__ import annotations

import io
from typing import Any

import optuna
from optuna.trial import TrialState
from ruamel.yaml import YAML

from coldstart._writing import write_whole
from coldstart.config._settings import CONFIG, Settings
from coldstart.data._dataset import Dataset
from coldstart.errors import UserError
from coldstart.train._folds import predict_test_rows, predict_validation_rows
from coldstart.train._intervals import interval
from coldstart.tune._trials import choosing, fit_with, legible


def report(settings: Settings, dataset: Dataset, study: optuna.Study, family: str) -> None:
    """Compare the best hyperparameters with the defaults, and keep them if they are better.

    Raises
    ------
    UserError
        If no trial was completed.
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not done:
        raise UserError(f"no trial of {family} came to an end: see make train MODEL={family}")
    found = legible(study.best_params)
    validated, tested = [], []
    for tuned in (found, {}):
        fit = fit_with(settings, dataset, family, tuned)
        validated.append(predict_validation_rows(dataset, fit))
        tested.append(predict_test_rows(dataset, fit, validated[-1]))
    name = tested[0].primary
    print(f"{family}, the best of {len(done)} trials: {settings_in_a_line(found)}")
    # The other half chose them, and would judge them too well.
    judges = ~choosing(validated[0], settings.seed)
    validated = [held[judges] for held in validated]
    for part, (new, own) in (("validation", validated), ("test", tested)):
        low, high = interval(new, own, settings.seed)
        verdict = "better" if low > 0 else "worse" if high < 0 else "no significant difference"
        print(
            f"{part:>10}: {name} {new.score():.4f}, with the defaults {own.score():.4f}: "
            f"95% CI of the difference {low:+.4f} to {high:+.4f}, {verdict}"
        )
        if part == "validation":
            keep = low > 0
    if keep:
        write(family, found)
        print(f"{CONFIG}: written under tuned; make train uses them, without those lines the own")
    else:
        print(
            f"{CONFIG} stays as it is: nothing was significantly better on the validation rows "
            "that did not choose it"
        )


def settings_in_a_line(found: dict[str, Any]) -> str:
    """Return names and values in a line."""
    return ", ".join(f"{name} {value:g}" for name, value in found.items())


def write(family: str, found: dict[str, Any]) -> None:
    """Write hyperparameters into config.yaml, and keep its other content and comments."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 100
    document = yaml.load(CONFIG.read_text(encoding="utf-8"))
    document.setdefault("tuned", {})[family] = found
    text = io.StringIO()
    yaml.dump(document, text)
    write_whole(CONFIG, text.getvalue())
