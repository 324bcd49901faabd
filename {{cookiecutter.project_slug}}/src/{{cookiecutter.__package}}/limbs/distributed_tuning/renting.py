"""From this computer to the machines: what they begin with, and what happens when they end."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from ...errors import UserError
from ...locking import BUSY, lock
from ...preparation import prepare
from ..cloud.job import Group
from ..cloud.launching import launch
from ..tuning.search import family_of, open_study
from .shared import forget, seed

if TYPE_CHECKING:
    from .commands import TuneOn


def tune_on(asked: TuneOn) -> int:
    """Rent machines that search together, and bring home what they find.

    Raises
    ------
    UserError
        If it would cost too much, or something is missing or wrong; nothing costs anything then.
    """
    if asked.nodes > 1:
        raise UserError("each machine tries settings of its own: MACHINES=..., not NODES=...")
    family = family_of(asked, asked.model)
    search = uuid.uuid4().hex
    with lock(wait=BUSY):
        seed(open_study(asked, prepare(asked), family), search)
    same = ["--search", search, "--model", family]
    group = Group(search, asked.machines, ["tune-home", *same, "--on", asked.on])
    try:
        code = launch(asked, ["tune-share", *same, "--trials", str(asked.trials)], group)
    except BaseException:
        forget(search, None)
        raise
    if asked.dry_run:
        forget(search, None)
    return code
