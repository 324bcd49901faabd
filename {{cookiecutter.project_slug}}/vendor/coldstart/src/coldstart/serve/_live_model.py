"""The model that answers, and how another takes its place while requests go on."""

import asyncio
import csv
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter

from coldstart.bundle._bundle import MANIFEST, REFERENCE
from coldstart.bundle._predictor import TOLERANCE, BundlePredictor
from coldstart.errors import UserError
from coldstart.serve._schemas import Row, row_type

EVERY = 1.0  # seconds between two looks at the folder
log = logging.getLogger(__name__)


class LiveModel:
    """The model that answers: a bundle's, and from then on what its folder is replaced by.

    Attributes
    ----------
    scorer
        The model of now.
    refused
        Why what is in the folder now does not answer; empty while it does.
    example
        A row to ask.

    Parameters
    ----------
    folder
        The bundle.

    Raises
    ------
    UserError
        If it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.predictor = BundlePredictor(folder)
        self.refused = ""
        self._seen = self._signature()
        self.example = example(self.predictor)
        smoke_test(self.predictor, self.example)

    @property
    def version(self) -> str:
        """The model's version in the registry."""
        return self.predictor.number

    def score(self, rows: list[Row]) -> tuple[list[dict[str, Any]], str]:
        """Answers to typed rows, and the version that gave them."""
        predictor = self.predictor
        return predictor.score(rows), predictor.number

    async def watch(self) -> None:
        """Look at the folder again and again, and take what comes into it."""
        waiting = self._seen
        while True:
            await asyncio.sleep(EVERY)
            found = self._signature()
            if found in (None, self._seen):
                continue
            if found != waiting:  # it may still be being written
                waiting = found
                continue
            self._seen = found
            await run_in_threadpool(self.change)

    def change(self) -> None:
        """Load the folder's bundle beside the model of now, and if it is sound let it answer."""
        try:
            successor = BundlePredictor(self.folder)
            self.check_fit(successor)
            smoke_test(successor, self.example)
        except UserError as error:
            self.refused = str(error)
            log.warning("the new bundle is refused, version %s goes on: %s", self.version, error)
            return
        self.predictor, self.refused = successor, ""
        family = successor.manifest.family
        log.info("version %s (%s) answers from here on", self.version, family)

    def check_fit(self, successor: BundlePredictor) -> None:
        """Refuse another question: clients rely on what is documented.

        Raises
        ------
        UserError
            If rows or answers would be others.
        """
        now, then = (
            (TypeAdapter(row_type(one.contract)).json_schema(), one.manifest.classes)
            for one in (self.predictor, successor)
        )
        if successor.manifest.target != self.predictor.manifest.target or now != then:
            raise UserError(f"{successor.folder} has another contract; to serve it, start again")

    def _signature(self) -> tuple[int, int] | None:
        try:
            found = (self.folder / MANIFEST).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def smoke_test(predictor: BundlePredictor, row: Row) -> None:
    """Let a model answer a row, and compare it with what it answered when it was made.

    Raises
    ------
    UserError
        If it answers otherwise.
    """
    predictor.score([row])
    if not (predictor.folder / REFERENCE).is_file():
        return
    rows, expected = zip(*reference(predictor), strict=True)
    found = predictor.predict(predictor.contract.encode(predictor.columns(rows)))[:, -1]
    scale = max(1.0, float(np.std(expected))) if not predictor.manifest.classes else 1.0
    worst = float(np.abs(found - np.array(expected)).max()) / scale
    if not worst <= TOLERANCE:
        raise UserError(f"{predictor.folder} answers otherwise than when it was made ({worst:.3g})")


def example(predictor: BundlePredictor) -> Row:
    """The contract's example, typed."""
    given = json.dumps(predictor.contract.example())
    row: Row = TypeAdapter(row_type(predictor.contract)).validate_json(given)
    return row


def answer_example(folder: Path) -> str:
    """Ask a bundle the contract's example, and say in two lines what was asked and answered.

    Raises
    ------
    UserError
        If the bundle cannot be used.
    """
    predictor = BundlePredictor(folder)
    (answer,) = predictor.score([example(predictor)])
    if "label" in answer:
        said = f"{answer['label']} (probability {answer['probability']:.3f})"
    else:
        said = f"{answer['value']:.6g}"
    model = f"{predictor.manifest.family}, version {predictor.number}"
    asked = json.dumps(predictor.contract.example(), ensure_ascii=False)
    return f"asked: {asked}\n{model}: {predictor.manifest.target} is {said}"


def reference(predictor: BundlePredictor) -> Iterator[tuple[Row, float]]:
    """Rows that the bundle keeps, and what was predicted for each."""
    read = {
        name: TypeAdapter(column.request_type()).validate_strings
        for name, column in predictor.contract.features.items()
    }
    with (predictor.folder / REFERENCE).open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            row = {name: read[name](cell) for name, cell in line.items() if cell and name in read}
            yield row, float(line["__prediction__"])
