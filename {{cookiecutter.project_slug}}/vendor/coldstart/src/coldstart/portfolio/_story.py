"""The story: your own Markdown as HTML, with facts of the last training in it."""

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
    """A story as HTML.

    Attributes
    ----------
    title : str
        Its first heading.
    lead : str
        Its first paragraph, as plain text.
    html : str
        All of it.
    empty : list of str
        Headings of sections without text, which are left out.
    pictures : dict
        Files that it shows, by their place in the page's folder.
    """

    title: str
    lead: str
    html: str
    empty: list[str]
    pictures: dict[Path, Path]


def read_story(path: Path, facts: Mapping[str, str], html_facts: Mapping[str, str]) -> Story:
    """Read a story.

    Parameters
    ----------
    path : Path
        The Markdown file.
    facts : mapping
        Markdown that replaces `<!-- fact: NAME -->`, by name.
    html_facts : mapping
        The same, as HTML.

    Returns
    -------
    Story
        The story as HTML, in which no tag comes from the file.

    Raises
    ------
    UserError
        If it is not text, has no title, or names a fact or a picture that does not exist.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not UTF-8 text ({error}): save it as UTF-8") from None
    markdown = parser(html=True)
    tokens: list[Token] = []
    for token in markdown.parse(text):
        fact = FACT.fullmatch(token.content) if token.type == "html_block" else None
        if fact is None:
            tokens += without_html(token)
        elif fact[1] in facts:
            tokens += markdown.parse(facts[fact[1]])
        elif fact[1] in html_facts:
            tokens.append(Token("html_block", "", 0, content=html_facts[fact[1]]))
        else:
            known = ", ".join([*facts, *html_facts])
            raise UserError(f"{path}: there is no fact {fact[1]!r}; choose among {known}")
    tokens, empty = without_empty_sections(tokens)
    heads = [at for at, token in enumerate(tokens) if token.type == "heading_open"]
    if not heads or heads[0] != 0 or tokens[0].tag != "h1":
        raise UserError(f"{path} has no title: begin it with a line such as '# My project'")
    found = pictures(path, tokens)
    paragraphs = [at for at, token in enumerate(tokens) if token.type == "paragraph_open"]
    return Story(
        title=plain_text(tokens[1]),
        lead=plain_text(tokens[paragraphs[0] + 1]) if paragraphs else "",
        html=render(markdown, tokens),
        empty=empty,
        pictures=found,
    )


def without_html(token: Token) -> list[Token]:
    """Return a token without comments, and with other HTML as text."""
    if token.type == "inline":
        token.children = [one for child in token.children or [] for one in without_html(child)]
    if token.type not in ("html_block", "html_inline"):
        return [token]
    left = COMMENT.sub("", token.content).strip()
    if not left:
        return []
    token.content = escape(left) if token.type == "html_inline" else f"<p>{escape(left)}</p>\n"
    return [token]


def without_empty_sections(tokens: list[Token]) -> tuple[list[Token], list[str]]:
    """Return the tokens without sections that have no text, and the headings of those."""
    ends = [at for at, token in enumerate(tokens) if token.type == "heading_open"]
    kept, empty = list[Token](), list[str]()
    for begin, end in zip([0, *ends], [*ends, len(tokens)], strict=True):
        section, after = tokens[begin:end], tokens[end : end + 1]
        bare = len(section) == 3 and section[0].tag == "h2"  # opening, text and end of the heading
        if bare and not (after and after[0].tag > "h2"):
            empty.append(plain_text(section[1]))
        else:
            kept += section
    return kept, empty


def plain_text(inline: Token) -> str:
    """Return a line or paragraph without its markup."""
    return "".join(" " if one.type == "softbreak" else one.content for one in inline.children or [])


def pictures(path: Path, tokens: list[Token]) -> dict[Path, Path]:
    """Return the picture files by their place in the page's folder, which the tokens then name."""
    found = {}
    for image in (one for token in tokens for one in token.children or [] if one.type == "image"):
        source = unquote(str(image.attrs["src"]))
        file = Path(source)
        if not file.is_file() or not file.resolve().is_relative_to(Path.cwd()):
            raise UserError(f"{path}: {source} is not a file in this folder: copy it here")
        place = PICTURES / file.resolve().relative_to(Path.cwd())
        found[place] = file
        image.attrs["src"] = quote(place.as_posix())
    return found
