"""YAML files that people write, or that came with a model: read with their limits checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:  # PyYAML without its library in C, which is ten times as fast
    from yaml import SafeLoader  # type: ignore[assignment]

from coldstart.errors import UserError

MAX_ALIASED = 100_000  # values that aliases repeat; a few lines can otherwise stand for billions


class Loader(SafeLoader):
    """YAML in which each name may occur once, and aliases repeat a limited number of values."""

    def get_single_node(self) -> yaml.Node | None:
        """Return the document's root, checked before any value is made of it."""
        root: yaml.Node | None = super().get_single_node()
        if root is not None:
            sizes: dict[int, int] = {}
            if count_values(root, sizes) - len(sizes) > MAX_ALIASED:
                raise refusal(root, f"its aliases repeat more than {MAX_ALIASED:,} values")
        return root


def count_values(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Return how many values a node stands for, aliases included, and check its names.

    Parameters
    ----------
    node : yaml.Node
        A node.
    sizes : dict
        The counts of the nodes so far, by their ids, and 0 while one is being counted.
    """
    if (known := sizes.get(id(node))) is not None:
        if not known:
            raise refusal(node, "an alias is part of what it repeats")
        return known
    sizes[id(node)] = 0
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        parts = node.value
    elif isinstance(node, yaml.MappingNode):
        names: set[str] = set()
        for name, value in node.value:
            parts += [name, value]
            if isinstance(name, yaml.ScalarNode):
                if name.value in names:
                    raise refusal(name, f"{name.value!r} is there twice")
                names.add(name.value)
    size = 1 + sum(count_values(part, sizes) for part in parts)
    sizes[id(node)] = size
    return size


def refusal(node: yaml.Node, why: str) -> yaml.YAMLError:
    """Return the error of a node."""
    return yaml.constructor.ConstructorError(None, None, why, node.start_mark)


def read_yaml(path: Path, loader: type[SafeLoader] = Loader) -> Any:
    """Return the content of a YAML file.

    Raises
    ------
    UserError
        If it is not a file, not UTF-8, not YAML, or nested too deeply.
    """
    if not path.is_file():  # a pipe would be waited for
        raise UserError(f"{path}: {'this is not a file' if path.exists() else 'file not found'}")
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, loader)
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as such") from None
    except RecursionError:
        raise UserError(f"{path} is not readable: its values are nested too deeply") from None
    # A value that its own tag rules out, as in !!int abc, gets an error of Python.
    except (yaml.YAMLError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
