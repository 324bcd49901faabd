"""The model that serves, and its replacement without interrupting requests."""

import asyncio
import csv
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter

from coldstart.bundle._bundle import CONTRACT, MANIFEST, REFERENCE
from coldstart.bundle._predictor import PROVIDERS, TOLERANCE, BundlePredictor, prediction_scale
from coldstart.errors import UserError
from coldstart.serve._pace import set_pace
from coldstart.serve._schemas import Row, row_type

WATCH_SECONDS = 1.0  # between two checks of the folder
UNREADABLE = (ValueError, KeyError, TypeError, csv.Error)
log = logging.getLogger(__name__)


class LiveModel:
    """The model of a bundle's folder, which is reloaded when the folder changes.

    Parameters
    ----------
    folder : Path
        The bundle.
    providers : sequence of str, optional
        Execution providers of onnxruntime. By default the CPU's.
    workers : int, default=1
        Processes that share the cores.

    Attributes
    ----------
    predictor : BundlePredictor
        The model that serves now.
    inline_rows : int
        Rows that it predicts so quickly that all other requests may wait for it.
    refused : str
        Why the folder's current bundle does not serve; empty while it does.
    example : dict
        A typed row to test a model with.

    Raises
    ------
    UserError
        If the bundle cannot be used.
    """

    def __init__(
        self, folder: Path, providers: Sequence[str] = PROVIDERS, workers: int = 1
    ) -> None:
        self.folder, self.providers, self.workers = folder, providers, workers
        self.predictor = BundlePredictor(folder, providers)
        self.refused = ""
        self._seen = self._signature()
        self.example = example(self.predictor)
        smoke_test(self.predictor, self.example)
        self.inline_rows = set_pace(self.predictor, self.example, workers)

    @property
    def version(self) -> str:
        """The model's version in the registry."""
        return self.predictor.number

    def score(self, rows: list[Row]) -> tuple[list[dict[str, Any]], str]:
        """Predict typed rows.

        Parameters
        ----------
        rows : list of dict
            Typed values by column.

        Returns
        -------
        tuple of list of dict, and str
            A prediction for each row, and the version of the model that made them.
        """
        predictor = self.predictor
        return predictor.score(rows), predictor.number

    async def watch(self) -> None:
        """Check the folder repeatedly, and load a new bundle when it is replaced."""
        waiting = self._seen
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            found = self._signature()
            if found in (None, self._seen):
                continue
            if found != waiting:  # it may still be being written
                waiting = found
                continue
            self._seen = found
            await run_in_threadpool(self.reload)

    def reload(self) -> None:
        """Load the folder's bundle, and serve it if it passes the checks."""
        try:
            successor = BundlePredictor(self.folder, self.providers)
            self.check_compatible(successor)
            smoke_test(successor, self.example)
            inline_rows = set_pace(successor, self.example, self.workers)
        except Exception as error:  # of a graph, too: whatever it is, the watch must go on
            self.refused = str(error)
            log.warning(
                "the new bundle is refused, version %s goes on: %s",
                self.version,
                error,
                exc_info=not isinstance(error, UserError),
            )
            return
        # The loop's thread reads both: never the quick model's rows for a slow one.
        self.inline_rows = min(inline_rows, self.inline_rows)
        self.predictor, self.refused = successor, ""
        self.inline_rows = inline_rows
        log.info("version %s (%s) serves from now on", self.version, successor.manifest.family)

    def check_compatible(self, successor: BundlePredictor) -> None:
        """Refuse a model of another contract, since clients rely on the documented one.

        Parameters
        ----------
        successor : BundlePredictor
            The bundle that would replace the current one.

        Raises
        ------
        UserError
            If requests or predictions would have another form.
        """
        now, then = (
            (TypeAdapter(row_type(one.contract)).json_schema(), one.manifest.classes)
            for one in (self.predictor, successor)
        )
        if successor.manifest.target != self.predictor.manifest.target or now != then:
            raise UserError(
                f"{successor.folder} has another contract; to serve it, restart make serve"
            )

    def _signature(self) -> tuple[int, int] | None:
        try:
            found = (self.folder / MANIFEST).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def smoke_test(predictor: BundlePredictor, row: Row) -> None:
    """Predict a row and the bundle's reference rows, and compare with the stored predictions.

    Probabilities may differ by `TOLERANCE`, and numbers by as much of their `prediction_scale`.

    Raises
    ------
    UserError
        If the predictions differ from those made when the bundle was written, or those rows cannot
        be read.
    """
    with predictor.time_limit():
        predictor.score([row])
    if not (predictor.folder / REFERENCE).is_file():
        return
    try:
        rows, expected = zip(*reference_rows(predictor), strict=True)
        encoded = predictor.contract.encode(predictor.columns(rows))
        with predictor.time_limit():
            found = predictor.predict(encoded)[:, -1]
    except UNREADABLE as error:
        raise unreadable(predictor.folder / REFERENCE, error) from None
    recorded = np.array(expected)
    scale = 1.0 if predictor.manifest.classes else prediction_scale(recorded)
    worst = float(np.abs(found - recorded).max()) / scale
    if not worst <= TOLERANCE:
        raise UserError(
            f"{predictor.folder} predicts otherwise than when it was made (by {worst:.3g}); "
            "run: make train"
        )


def example(predictor: BundlePredictor) -> Row:
    """Return the contract's example row, typed."""
    given = json.dumps(predictor.contract.example())
    row: Row = TypeAdapter(row_type(predictor.contract)).validate_json(given)
    return row


def predict_example(folder: Path) -> str:
    """Predict the contract's example row.

    Parameters
    ----------
    folder : Path
        The bundle.

    Returns
    -------
    str
        Two lines: the request, and the prediction.

    Raises
    ------
    UserError
        If the bundle cannot be used.
    """
    predictor = BundlePredictor(folder)
    (prediction,) = predictor.score([example(predictor)])
    if "label" in prediction:
        shown = f"{prediction['label']} (probability {prediction['probability']:.3f})"
    else:
        shown = f"{prediction['value']:.6g}"
        if "low" in prediction:
            low, high = (f"{prediction[end]:.6g}" for end in ("low", "high"))
            shown += f" ({prediction['coverage']:.0%} interval: {low} to {high})"
    model = f"{predictor.manifest.family}, version {predictor.number}"
    row = json.dumps(predictor.contract.example(), ensure_ascii=False)
    return f"request: {row}\n{model}: {predictor.manifest.target} is {shown}"


def reference_rows(predictor: BundlePredictor) -> Iterator[tuple[Row, float]]:
    """Yield the bundle's reference rows, and the prediction of each.

    Raises
    ------
    UserError
        If a row is not one of the contract.
    """
    read = {
        name: TypeAdapter(column.request_type()).validate_strings
        for name, column in predictor.contract.features.items()
    }
    path = predictor.folder / REFERENCE
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                cells = {name: cell for name, cell in line.items() if cell and name in read}
                row = {name: read[name](cell) for name, cell in cells.items()}
                yield row, float(line["__prediction__"])
    except UNREADABLE as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> UserError:
    """Return the mistake of a file whose rows are not those of the contract."""
    what = " ".join(repr(error).split())
    return UserError(f"{path} does not hold rows of {CONTRACT} ({what:.200}); run: make train")
