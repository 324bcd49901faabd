"""Links that people share: the address of the file behind a service's page of it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

SHEET = re.compile(r"/spreadsheets(?:/u/\d+)?/d/([\w-]{20,})(?:/(?:edit|view|preview|htmlview))?/?")
PUBLISHED = re.compile(r"/spreadsheets/d/e/([\w-]+)/pubhtml/?")
DRIVE = re.compile(r"/(?:file(?:/u/\d+)?/d/([\w-]+)(?:/(?:view|edit|preview))?/?|open/?)")
DROPBOX = re.compile(r"/(?:s|sh|scl)/.+")
GITHUB = re.compile(r"(/[^/]+/[^/]+)/blob/(.+)")
HUGGING_FACE = re.compile(r"((?:/datasets|/spaces)?/[^/]+/[^/]+)/blob/(.+)")


def find_file(address: str) -> tuple[str, str]:
    """Return what a link leads to if it is a page, and the address of the file itself.

    Parameters
    ----------
    address : str
        An address of HTTP, as copied from a browser.

    Returns
    -------
    str
        Such as "GitHub's page of the file". Empty if the address is none of the known pages.
    str
        The address of the file, or the same address.
    """
    link = urlsplit(address)
    host, path = (link.hostname or "").removeprefix("www."), link.path
    query = dict(parse_qsl(link.query, keep_blank_values=True))

    def at(path: str, host: str = link.netloc, **query: str) -> str:
        return urlunsplit((link.scheme, host, path, urlencode(query, safe="${}"), ""))

    tab = re.search(r"(?:^|&)gid=(\d+)", f"{link.query}&{link.fragment}")
    gid = {"gid": tab[1]} if tab else {}
    if host == "docs.google.com" and (found := SHEET.fullmatch(path)):
        export = at(f"/spreadsheets/d/{found[1]}/export", format="csv", **gid)
        return "Google's page of the sheet", export
    if host == "docs.google.com" and (found := PUBLISHED.fullmatch(path)):
        single = gid | {"single": "true"} if gid else {}
        export = at(f"/spreadsheets/d/e/{found[1]}/pub", output="csv", **single)
        return "Google's page of the sheet", export
    if host == "drive.google.com" and (found := DRIVE.fullmatch(path)):
        # "confirm" stands for a button: Google does not search large files for viruses.
        options = {"id": found[1] or query.get("id", ""), "export": "download", "confirm": "t"}
        options |= {name: query[name] for name in ("resourcekey",) if name in query}
        return "Google's page of the file", at(
            "/download", "drive.usercontent.google.com", **options
        )
    shown = query.get("dl", "0") == "0" and query.get("raw") != "1"
    if host == "dropbox.com" and DROPBOX.fullmatch(path) and shown:
        return "Dropbox's page of the file", at(path, **query | {"dl": "1"})
    if host == "github.com" and (found := GITHUB.fullmatch(path)):
        return "GitHub's page of the file", at(f"{found[1]}/raw/{found[2]}")
    if host == "huggingface.co" and (found := HUGGING_FACE.fullmatch(path)):
        return "Hugging Face's page of the file", at(f"{found[1]}/resolve/{found[2]}")
    return "", address
