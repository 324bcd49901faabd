"""The story: the person's own words as HTML, with what the last run showed between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from markdown_it.token import Token

from coldstart.errors import UserError
from coldstart.serve.page._render import parser, render

FACT = re.compile(r"<!--\s*fact:\s*(\w+)\s*-->\s*")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
PICTURES = Path("pictures")


class Story(NamedTuple):
    """A story.

    Attributes
    ----------
    title
        What it is called.
    lead
        Its first paragraph, as plain text.
    html
        All of it.
    unwritten
        Parts that say nothing yet, which are left out.
    pictures
        Files that it shows, by their place in the page's folder.
    """

    title: str
    lead: str
    html: str
    unwritten: list[str]
    pictures: dict[Path, Path]


def tell(path: Path, facts: Mapping[str, str], drawn: Mapping[str, str]) -> Story:
    """Read a story.

    Parameters
    ----------
    facts
        What takes the place of `<!-- fact: NAME -->`, in Markdown.
    drawn
        The same, in HTML.

    Raises
    ------
    UserError
        If it is no text, has no title, or asks for a fact or a picture that is not there.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no UTF-8 text ({error}): save it as UTF-8") from None
    markdown = parser(html=True)
    tokens: list[Token] = []
    for token in markdown.parse(text):
        fact = FACT.fullmatch(token.content) if token.type == "html_block" else None
        if fact is None:
            tokens += plain(token)
        elif fact[1] in facts:
            tokens += markdown.parse(facts[fact[1]])
        elif fact[1] in drawn:
            tokens.append(Token("html_block", "", 0, content=drawn[fact[1]]))
        else:
            known = ", ".join([*facts, *drawn])
            raise UserError(f"{path}: there is no fact {fact[1]!r}; choose among {known}")
    tokens, unwritten = written(tokens)
    heads = [at for at, token in enumerate(tokens) if token.type == "heading_open"]
    if not heads or heads[0] != 0 or tokens[0].tag != "h1":
        raise UserError(f"{path} begins with no title: a first line such as '# My project'")
    found = pictures(path, tokens)
    opened = [at for at, token in enumerate(tokens) if token.type == "paragraph_open"]
    return Story(
        title=words(tokens[1]),
        lead=words(tokens[opened[0] + 1]) if opened else "",
        html=render(markdown, tokens),
        unwritten=unwritten,
        pictures=found,
    )


def plain(token: Token) -> list[Token]:
    """A token without comments, and with all other HTML as text."""
    if token.type == "inline":
        token.children = [one for child in token.children or [] for one in plain(child)]
    if token.type not in ("html_block", "html_inline"):
        return [token]
    left = COMMENT.sub("", token.content).strip()
    if not left:
        return []
    token.content = escape(left) if token.type == "html_inline" else f"<p>{escape(left)}</p>\n"
    return [token]


def written(tokens: list[Token]) -> tuple[list[Token], list[str]]:
    """Leave out parts that have a heading and nothing below it, and name them."""
    ends = [at for at, token in enumerate(tokens) if token.type == "heading_open"]
    kept, empty = list[Token](), list[str]()
    for begin, end in zip([0, *ends], [*ends, len(tokens)], strict=True):
        part, after = tokens[begin:end], tokens[end : end + 1]
        bare = len(part) == 3 and part[0].tag == "h2"  # the heading opens, says and closes
        if bare and not (after and after[0].tag > "h2"):
            empty.append(words(part[1]))
        else:
            kept += part
    return kept, empty


def words(inline: Token) -> str:
    """A line or paragraph without its markup."""
    return "".join(" " if one.type == "softbreak" else one.content for one in inline.children or [])


def pictures(path: Path, tokens: list[Token]) -> dict[Path, Path]:
    """Find the files of the pictures, and name their place in the page's folder instead."""
    found = {}
    for image in (one for token in tokens for one in token.children or [] if one.type == "image"):
        source = unquote(str(image.attrs["src"]))
        file = Path(source)
        if not file.is_file() or not file.resolve().is_relative_to(Path.cwd()):
            raise UserError(f"{path} shows {source}, which is no file in this folder: copy it here")
        place = PICTURES / file.resolve().relative_to(Path.cwd())
        found[place] = file
        image.attrs["src"] = quote(place.as_posix())
    return found
