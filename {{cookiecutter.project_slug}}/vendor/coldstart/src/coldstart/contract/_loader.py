"""How schema.yaml is read as YAML."""

from __future__ import annotations

import re

from coldstart import _yaml

WORDS = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")


class Loader(_yaml.Loader):
    """YAML where yes and no are words, and dates are texts."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in WORDS]
    for first, resolvers in _yaml.Loader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(WORDS[0], re.compile("^(true|false)$", re.IGNORECASE), list("tfTF"))
