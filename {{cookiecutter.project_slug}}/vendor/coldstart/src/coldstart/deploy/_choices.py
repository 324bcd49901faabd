"""What a person chose for a target, in a file of infra/deploy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from coldstart._yaml import read_yaml
from coldstart.config._sections import Section
from coldstart.errors import UserError, describe


class TargetChoices(Section):
    """Content of a target's file. Without the file the defaults hold."""

    @classmethod
    def load(cls, path: Path, **given: Any) -> Self:
        """Read the file. Values that are given and not None override its own.

        Raises
        ------
        UserError
            If it is not YAML, or a value is unknown or wrong.
        """
        try:
            content = (read_yaml(path) if path.is_file() else None) or {}
            if isinstance(content, dict):
                content |= {key: value for key, value in given.items() if value is not None}
            return cls.model_validate(content)
        except ValidationError as error:
            raise UserError(f"{path}: {describe(error, cls.model_fields)}") from None
