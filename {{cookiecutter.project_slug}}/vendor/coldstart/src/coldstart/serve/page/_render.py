"""Markdown as HTML that a page with a strict content security policy may show."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token


def parser(html: bool = False) -> MarkdownIt:
    """Return a Markdown parser with tables, to which HTML is text, or tokens of their own."""
    from markdown_it import MarkdownIt  # the API starts a quarter of a second sooner without

    return MarkdownIt("commonmark", {"html": html}).enable("table")


def render(markdown: MarkdownIt, tokens: list[Token]) -> str:
    """Return HTML without styles, which the policy forbids; wide tables scroll on a phone."""
    numbers = itertools.count(1)

    def open_table(*_: object) -> str:
        name = f"Table {next(numbers)}, scrolls sideways"  # by which screen readers list them
        return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table>\n'

    for token in tokens:
        token.attrs.pop("style", None)  # of aligned cells
    rules = markdown.renderer.rules  # type: ignore[attr-defined]
    rules |= {"table_open": open_table, "table_close": lambda *_: "</table></div>\n"}
    html: str = markdown.renderer.render(tokens, markdown.options, {})
    return html
