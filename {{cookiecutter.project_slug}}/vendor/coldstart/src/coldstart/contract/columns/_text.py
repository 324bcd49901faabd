"""Free text."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from coldstart.contract.columns._base import BaseColumn

if TYPE_CHECKING:
    import polars as pl

LONGEST = 100_000  # characters


class Text(BaseColumn):
    """Free text: as a feature, the weights of its words and of its pairs of words.

    Notes
    -----
    The exported graph finds words by plain ASCII patterns. So letters lose their accents, and each
    letter of another script is spelled as its code. Each word counts once a text, and each pair of
    words is a word of its own.
    """

    matrix = "strings"
    remedy = "to role: ignore"

    type: Literal["text"]

    def parse(self, text: pl.Expr) -> pl.Expr:
        return text

    def violations(self, values: pl.Expr) -> Mapping[str, pl.Expr]:
        return self.too_long(values, LONGEST)

    def encode(self, values: Sequence[Any]) -> list[Sequence[Any]]:
        return [[words_and_pairs(text) if text else "_missing" for text in self.texts(values, "")]]

    def control(self) -> dict[str, Any]:
        return {"kind": "text"}

    def typical(self) -> str:
        return "text"

    def request_type(self) -> Any:
        return self.text_type(max_length=LONGEST)


def words_and_pairs(text: str) -> str:
    """Return each word of a text and each pair of adjacent words, joined by `_`."""
    words = re.findall("[a-z0-9]+", plain(text))
    pairs = map("_".join, itertools.pairwise(words))
    return " ".join(dict.fromkeys([*words, *pairs])) or "_wordless"


def plain(text: str) -> str:
    """Return text in lower case and ASCII, with words of other scripts kept apart."""
    text = text.lower()
    if text.isascii():
        return text
    letters = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    return "".join(
        letter if letter.isascii() else spelled(letter)
        for letter in letters
        if not unicodedata.combining(letter)
    )


def spelled(letter: str) -> str:
    """Spell a letter that is not ASCII. Ideographs, which are words, stand alone."""
    kind = unicodedata.category(letter)
    if kind == "Lo" and unicodedata.east_asian_width(letter) == "W":
        return f" u{ord(letter):x} "
    return (
        f"u{ord(letter):x}" if kind[0] in "LN" else f" u{ord(letter):x} " if kind == "So" else " "
    )
