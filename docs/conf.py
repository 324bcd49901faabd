"""How Sphinx builds the pages of this repository: `make docs`."""

project = "coldstart"
author = "the authors of coldstart"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_external_toc",
]

# The sources are where GitHub shows them, so that each link between them works in both places.
include_patterns = ["*.md", "docs/**/*.md", "infra/platform/README.md"]
external_toc_path = "docs/_toc.yml"

html_theme = "furo"
html_title = "coldstart"
html_show_copyright = False
html_copy_source = False
highlight_language = "text"  # of boxes that name none: commands, and what they print

myst_heading_anchors = 3

# The engine's docstrings are numpydoc; its signatures would repeat the types.
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
