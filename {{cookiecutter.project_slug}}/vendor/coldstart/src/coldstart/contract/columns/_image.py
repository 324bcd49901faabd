"""Pictures."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from coldstart.contract import _pictures as pictures
from coldstart.contract._pictures import PictureError
from coldstart.contract.columns._base import BaseColumn

if TYPE_CHECKING:
    import polars as pl

GRID = 8  # rows and columns of the fields whose mean colors are features
COLORS = ("red", "green", "blue")
THREADS = 4  # that decode pictures: Pillow lets others work meanwhile


class Image(BaseColumn):
    """A picture: as a feature, the mean colors of 8 x 8 fields.

    The table holds the path of a file, relative to the table's own folder, or the file itself in
    base64; the API takes base64 alone. A typed value is a PNG in base64: upright, RGB, and of the
    column's size, so that training and the API have the same pixels.

    Parameters
    ----------
    size : int, default=224
        Width and height in pixels that a picture is resized to. A multiple of 8.
    personal : bool, default=True
        As in all columns; a picture may show a person.
    """

    matrix = "numbers"
    packages = ("pillow",)
    slice_rows: ClassVar[int] = 500

    type: Literal["image"]
    size: int = Field(224, ge=32, le=1024, multiple_of=GRID)
    personal: bool = True
    _folder: Path = PrivateAttr(default_factory=Path)
    _problem: str = PrivateAttr("")

    @model_validator(mode="after")
    def _can_be_decoded(self) -> Self:
        if importlib.util.find_spec("PIL") is None:
            raise ValueError(
                "pictures need Pillow: write coldstart-ml[images] into the dependencies in "
                "pyproject.toml, then run make setup"
            )
        return self

    @property
    def hint(self) -> str:  # type: ignore[override]
        """What to change where a picture cannot be read, with the reason for the first."""
        return f"the path or the file ({self._problem})"

    def set_folder(self, folder: Path) -> None:
        self._folder, self._problem = folder, ""

    def is_typed(self, dtype: pl.DataType) -> bool:
        return False  # a text may be a path

    def parse(self, text: pl.Expr) -> pl.Expr:
        import polars as pl

        return text.map_batches(self._read_all, return_dtype=pl.String)

    def _read_all(self, values: pl.Series) -> pl.Series:
        import polars as pl

        with ThreadPoolExecutor(THREADS) as pool:
            read = list(pool.map(self._read, values.to_list()))
        problems = [problem for _, problem in read if problem]
        if problems and not self._problem:
            self._problem = problems[0]
        return pl.Series(values.name, [text for text, _ in read], dtype=pl.String)

    def _read(self, value: str | None) -> tuple[str | None, str]:
        """Return the typed value of a path or of base64, and why there is none."""
        if value is None:
            return None, ""
        try:
            try:
                content = (self._folder / value).read_bytes()
            except (OSError, ValueError) as error:  # too long or with a null: no path
                try:
                    content = pictures.to_bytes(value)
                except PictureError:
                    why = getattr(error, "strerror", "") or "it is no path"
                    raise PictureError(why.lower()) from None
            return self.normalized(content), ""
        except PictureError as error:
            return None, str(error)

    def normalized(self, content: bytes) -> str:
        """Return the typed value of a picture.

        Parameters
        ----------
        content : bytes
            A file.

        Returns
        -------
        str
            A PNG in base64.

        Raises
        ------
        PictureError
            If it is no picture that can be used.
        """
        return pictures.to_text(pictures.read_picture(content, self.size))

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        grids = np.full((len(values), GRID, GRID, len(COLORS)), np.nan)
        for grid, text in zip(grids, self.texts(values, ""), strict=True):
            if text:
                fields = pictures.pixels(text, self.size).reshape(
                    GRID, -1, GRID, self.size // GRID, 3
                )
                grid[:] = fields.mean(axis=(1, 3)) / 255
        return list(grids.reshape(len(values), GRID * GRID * len(COLORS)).T)

    def encoded_names(self, name: str) -> list[str]:
        return [
            f"{name}.{row}.{column}.{color}"
            for row in range(GRID)
            for column in range(GRID)
            for color in COLORS
        ]

    def control(self) -> dict[str, Any]:
        return {"kind": "image"}

    def typical(self) -> str:
        from PIL import Image

        return pictures.to_text(Image.new("RGB", (GRID, GRID), "gray"))

    def request_type(self) -> Any:
        def check(text: str) -> str:
            if self.nullable and text in self.missing:
                return ""
            try:
                return self.normalized(pictures.to_bytes(text))
            except PictureError as error:
                raise PydanticCustomError("picture", "{reason}", {"reason": str(error)}) from None

        about: Any = {"contentEncoding": "base64", "contentMediaType": "image/*"}
        return Annotated[str, Field(json_schema_extra=about), AfterValidator(check)]
