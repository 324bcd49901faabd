"""The command that deploys: what it is asked. Each place has tests of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def test_a_place_that_does_not_exist_is_told_with_those_that_do(
    small_project: Callable[..., Path], refusal: Callable[..., str]
) -> None:
    small_project()
    told = refusal("deploy", "--on", "moon")
    assert "cannot deploy to 'moon': choose ON= among " in told


def test_only_one_thing_is_asked_at_a_time(
    small_project: Callable[..., Path], refusal: Callable[..., str]
) -> None:
    small_project()
    assert "one thing at a time: status or down" in refusal("deploy", "--status", "--down")
