"""The neural network and its training loop, through Lightning Fabric.

The same loop runs on a CPU, on a GPU, or on several processes that share each batch. Replace
the network or the loss here; `NeuralNetwork` of the engine makes a scikit-learn estimator of
them, so that they are trained, exported and evaluated like every other model.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from coldstart.config import NeuralSettings
from coldstart.nn import Checkpointer, Result, TrainingJob

MEMBERS = 4  # perceptrons that share their hidden layers
MAX_GRADIENT_NORM = 5.0
WARM_UP = 20  # steps over which the learning rate rises to its full value


class Network(nn.Module):
    """A linear model of all inputs (wide) plus the mean of several perceptrons (deep).

    They share the hidden layers, but each scales its inputs and its outputs by weights of its own.

    Parameters
    ----------
    n_numbers : int
        Leading columns of the input that are numeric.
    cardinalities : list of int
        For each column after them, the number of its categories.
    n_outputs : int
        Number of classes, or 1 for regression.
    settings : NeuralSettings
        The section `neural` of config.yaml: widths of the hidden layers, dropout.

    References
    ----------
    Cheng et al., "Wide & Deep Learning for Recommender Systems", 2016; Gorishniy et al., "TabM:
    Advancing Tabular Deep Learning with Parameter-Efficient Ensembling", 2025 (TabM-mini).
    """

    def __init__(
        self, n_numbers: int, cardinalities: list[int], n_outputs: int, settings: NeuralSettings
    ) -> None:
        super().__init__()
        self.n_numbers = n_numbers
        widths = [min(16, (n + 1) // 2) for n in cardinalities]
        self.embeddings = nn.ModuleList(map(nn.Embedding, cardinalities, widths))
        self.wide_numbers = nn.Linear(n_numbers, n_outputs)
        self.wide_categories = nn.ModuleList(nn.Embedding(n, n_outputs) for n in cardinalities)
        for embedding in self.wide_categories:
            nn.init.zeros_(embedding.weight)  # type: ignore[arg-type]
        layers: list[nn.Module] = []
        width = n_numbers + sum(widths)
        for hidden in settings.hidden:
            layer = nn.Linear(width, hidden) if layers else ScaledLinear(width, hidden)
            layers += [layer, nn.ReLU(), nn.Dropout(settings.dropout)]
            width = hidden
        self.deep = nn.Sequential(*layers)
        self.output = nn.Parameter(torch.randn(MEMBERS, width, n_outputs) / (3 * width) ** 0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (n, columns) to scores (n, outputs), in training (n * MEMBERS, outputs)."""
        numbers = inputs[:, : self.n_numbers]
        codes = inputs[:, self.n_numbers :].long()
        embedded = [embed(codes[:, i]) for i, embed in enumerate(self.embeddings)]
        scores: Tensor = self.wide_numbers(numbers)
        for i, embed in enumerate(self.wide_categories):
            scores = scores + embed(codes[:, i])
        deep = self.deep(torch.cat([numbers, *embedded], 1))
        scores = scores[:, None] + torch.einsum("nmw,mwo->nmo", deep, self.output)
        if self.training:
            return scores.flatten(0, 1)
        # The softmax of the latter is the mean probability.
        return scores.mean(1) if scores.shape[2] == 1 else scores.log_softmax(2).logsumexp(1)


class ScaledLinear(nn.Linear):
    """A linear layer of inputs that each perceptron scales by its own factors."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(width, hidden)
        self.factors = nn.Parameter(torch.randint(2, (MEMBERS, width)) * 2.0 - 1.0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (n, width) to (n, MEMBERS, hidden)."""
        weight = (self.factors[:, None] * self.weight).flatten(0, 1)  # less than n inputs to scale
        return nn.functional.linear(inputs, weight).view(-1, MEMBERS, len(self.bias)) + self.bias


def loss_function(classifies: bool) -> nn.Module:
    """Return the loss of each score, whose weighted mean training minimizes."""
    return nn.CrossEntropyLoss(reduction="none") if classifies else nn.MSELoss(reduction="none")


def train_network(fabric: Fabric, job: TrainingJob) -> Result:
    """Train a network on one rank, resuming from the job's checkpoint if there is one."""
    settings = job.settings
    fabric.seed_everything(job.seed, verbose=False)
    network = Network(*job.shape, settings)
    model = fabric.setup_module(network)
    adamw = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    optimizer: Any = fabric.setup_optimizers(adamw)
    loss_of = loss_function(classifies=job.shape[2] > 1)
    rows, held_out = job.train.on(fabric), fabric.to_device(job.held_out)

    checkpoint = Checkpointer(fabric, job, network, adamw)
    # `NeuralNetwork` trains twice: on some rows, until the loss of the held-out ones stops
    # improving, and then on all rows for as many epochs.
    for epoch in checkpoint.epochs():
        model.train()
        total_loss = checkpoint.start_epoch()
        first = checkpoint.progress.step
        for batch in rows.epoch(fabric, job.seed, epoch, first, settings.batch_size):
            step = checkpoint.start_step(epoch)
            set_learning_rate(adamw, settings.learning_rate, step)
            optimizer.zero_grad()
            loss = mean_loss(model, batch, loss_of)
            fabric.backward(loss)
            fabric.clip_gradients(model, optimizer, max_norm=MAX_GRADIENT_NORM)
            optimizer.step()
            total_loss += loss.detach() * len(batch[0])
            checkpoint.end_step(total_loss)
        model.eval()
        with torch.no_grad():
            validation_loss = float(mean_loss(model, held_out, loss_of)) if held_out else None
        checkpoint.end_epoch(total_loss, validation_loss)
    return checkpoint.finish()


def set_learning_rate(optimizer: torch.optim.Optimizer, full: float, step: int) -> None:
    """Warm up: raise the learning rate linearly over the first steps."""
    for group in optimizer.param_groups:
        group["lr"] = full * min(1.0, (step + 1) / WARM_UP)


def mean_loss(model: Any, batch: tuple[Tensor, ...], loss_of: nn.Module) -> Tensor:
    """Return the mean loss over rows, by their weights, whose mean over all batches is 1."""
    inputs, targets, weights = batch
    scores = model(inputs)  # in training several for each row
    losses: Tensor = loss_of(scores, targets.repeat_interleave(len(scores) // len(targets), dim=0))
    return (losses.view(len(targets), -1) * weights[:, None]).mean()
