"""Training: one run of train.py on a sample registers a model, and the network learns."""

from __future__ import annotations

from pathlib import Path

import mlflow
import torch
from conftest import MODEL

from coldstart import BundlePredictor, Settings
from coldstart.config import NeuralSettings

from {{cookiecutter.__package}}.models import FAMILIES, SEARCH_SPACES
from {{cookiecutter.__package}}.network import Network, loss_function, mean_loss


def test_a_training_registers_a_version_with_its_run(
    settings: Settings, bundle: Path, predictor: BundlePredictor
) -> None:
    client = mlflow.MlflowClient(settings.tracking_uri)
    version = client.get_model_version_by_alias(settings.experiment, "challenger")
    assert str(version.version) == predictor.number
    run = client.get_run(str(version.run_id))
    assert run.info.status == "FINISHED"
    assert run.info.run_name == MODEL
    metric = predictor.manifest.metrics["primary"]
    logged = [value for name, value in run.data.metrics.items() if name.endswith(metric)]
    assert predictor.manifest.metrics["test"][metric] in logged


def test_the_bundle_says_where_the_model_comes_from(
    bundle: Path, predictor: BundlePredictor
) -> None:
    assert predictor.manifest.family == MODEL
    assert predictor.manifest.provenance["data"]
    assert (bundle / "MODEL_CARD.md").read_text(encoding="utf-8").startswith("#")
    assert not list(bundle.glob("*.pkl"))


def test_each_search_space_belongs_to_a_model_type() -> None:
    assert set(SEARCH_SPACES) <= set(FAMILIES)


def test_the_network_learns_a_batch() -> None:
    torch.manual_seed(0)
    inputs = torch.cat([torch.randn(64, 3), torch.randint(0, 5, (64, 2)).float()], dim=1)
    labels = (inputs[:, 0] > 0).long()
    network = Network(3, [5, 5], 2, NeuralSettings(dropout=0.0))
    optimizer, loss_of = torch.optim.Adam(network.parameters(), lr=0.01), loss_function(True)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = mean_loss(network, (inputs, labels, torch.ones(64)), loss_of)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
