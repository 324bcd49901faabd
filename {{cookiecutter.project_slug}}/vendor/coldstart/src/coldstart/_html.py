"""HTML pages from the templates in `_templates`, which need no network to be read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coldstart._writing import write_whole

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def environment() -> Environment:
    """Return the templates, in which values are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("coldstart", "_templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_page(path: Path, template: str, **values: Any) -> None:
    """Write a page; an older one stays until the new one is whole.

    Parameters
    ----------
    path : Path
        The file.
    template : str
        Name of the template.
    **values
        What the template shows; texts are escaped unless they are `markupsafe.Markup`.
    """
    page = environment().get_template(template).render(**values)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page)
