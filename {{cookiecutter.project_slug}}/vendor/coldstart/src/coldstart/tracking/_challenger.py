"""From the trained models to a challenger, and through the gate if there is no champion yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient

from coldstart.bundle._bundle import verify_bundle
from coldstart.config._settings import Settings
from coldstart.data._dataset import Dataset
from coldstart.errors import UserError
from coldstart.model_card._card import with_families
from coldstart.tracking import _registry as registry
from coldstart.tracking._gate import Evidence, evidence_of
from coldstart.train._metrics import TITLES
from coldstart.train._summary import is_useful, number

NEXT = "next: make serve (the API and its page), make ui (all runs)"


@dataclass(frozen=True)
class Candidate:
    """A model that was trained, evaluated, logged and registered.

    Parameters
    ----------
    family : str
        Name of the model type.
    version : str
        Its version in the registry.
    metrics : dict
        The result of `evaluate`, and `validation`, the score that the challenger is chosen by.
    """

    family: str
    version: str
    metrics: dict[str, Any]

    def __str__(self) -> str:
        score = f"{TITLES[self.metrics['primary']]} {number(self.metrics['validation'])}"
        return f"{self.family}: version {self.version}, {score} on the validation rows"


def choose_challenger(
    client: MlflowClient, settings: Settings, dataset: Dataset, candidates: Sequence[Candidate]
) -> None:
    """Make the best candidate the challenger, unless the current challenger is better.

    The validation score decides, and a model that is not better than the dummy baseline there is
    not chosen. If there is no champion yet, the challenger is promoted immediately, if it passes
    the gate.

    Parameters
    ----------
    client : MlflowClient
        The tracking store.
    settings : Settings
        The project's settings.
    dataset : Dataset
        The prepared rows.
    candidates : sequence of Candidate
        The models of one training.
    """
    ranked = sorted(candidates, key=lambda one: one.metrics["validation"], reverse=True)
    best = ranked[0]
    families = {model.family: model.metrics for model in ranked}
    registry.rewrite_card(
        client, settings, best.version, lambda card: with_families(card, families)
    )
    version = registry.version_of(client, settings, registry.CHALLENGER)
    if not is_useful(best.metrics):
        stays = f"version {version} stays the challenger" if version else "there is no challenger"
        print(f"{stays}: no model is better than the dummy baseline")
        return
    if version:
        try:
            challenger = evidence_of(registry.manifest_of(settings, version))
        except UserError as error:
            print(f"the challenger so far, version {version}, makes way: {error}")
        else:
            if reason := incomparable(challenger, dataset):
                print(f"the challenger so far, version {version}, {reason}")
            elif challenger.validation > best.metrics["validation"]:
                print(
                    f"version {best.version} is not better than the challenger, version {version}"
                )
                return
    registry.set_alias(client, settings, registry.CHALLENGER, best.version)
    print(f"challenger: version {best.version} ({best.family}), the best on the validation rows")
    local = registry.BUNDLES / registry.CHAMPION
    if registry.pull(client, settings, registry.CHAMPION) is None and not local.exists():
        try:
            said = registry.promote_copy(client, settings, dataset, best.version, None)
            print(f"champion: {said}", NEXT, sep="\n")
        except UserError as error:
            print(f"no champion yet: {error}")
        return
    champion = verify_bundle(local)
    if champion.target == dataset.contract.target:
        print("to make it the champion, if it is better: make promote")
    else:
        print(f"make serve still predicts {champion.target}; to change that: make promote")


def incomparable(challenger: Evidence, dataset: Dataset) -> str | None:
    """Return why a challenger makes way whatever its score, or None."""
    if challenger.data != dataset.digest:
        return "was trained on other data"
    if challenger.git_dirty:
        return "was trained with uncommitted changes"
    return None
