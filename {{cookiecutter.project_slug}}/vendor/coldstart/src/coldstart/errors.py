"""The one kind of error that is a person's mistake and not ours."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable

from pydantic import ValidationError

LONGEST = 80  # letters of a value that is quoted


class UserError(Exception):
    """What was wrong, where, and what to do next, in one or two lines.

    The command line prints the message alone and exits with code 2; any other
    exception is a bug of this project and keeps its traceback.
    """


FULL = (errno.ENOSPC, errno.EDQUOT)
UNUSABLE = (  # a file that is not ours to use, or is a folder, or no path leads to
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EEXIST),
    *(errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG),
)
# As libraries quote the system, and SQLite says it.
FULL_TEXTS = (*map(os.strerror, FULL), "database or disk is full")


def no_room(error: Exception) -> str | None:
    """Explain an error of a full disk; return None for any other error."""
    if isinstance(error, OSError) and error.errno in FULL:
        return f"the disk is full{f': {error.filename}' if error.filename else ''}"
    return "the disk is full" if any(text in str(error) for text in FULL_TEXTS) else None


def unusable(error: Exception) -> str | None:
    """Explain an error of a file that cannot be read or written; otherwise return None."""
    if not isinstance(error, OSError) or error.errno not in UNUSABLE:
        return None
    reason, file = os.strerror(error.errno).lower(), error.filename2 or error.filename
    return f"{file}: {reason}" if file else reason


def describe(error: ValidationError, known: Iterable[str] = ()) -> str:
    """All mistakes that pydantic found, in one line and in a person's words.

    Parameters
    ----------
    known
        Names of settings, one of which may be meant by one that does not exist.
    """
    mistakes = []
    for mistake in error.errors():
        where, kind = [str(part) for part in mistake["loc"]], mistake["type"]
        if where[:1] == ["columns"] and len(where) > 2:
            del where[2]  # the type of the column, which pydantic puts there
        what = mistake["msg"].removeprefix("Value error, ")
        if kind == "extra_forbidden":
            near = difflib.get_close_matches(where[-1], known, 1)
            what = "there is no such setting" + (f"; is it {near[0]}?" if near else "")
        elif kind == "missing":
            what = "is missing"
        elif kind == "union_tag_not_found":
            what = "needs a type: number, category, boolean, date, text or image"
        elif kind == "union_tag_invalid":
            what = f"there is no type {mistake['ctx']['tag']!r}; choose among " + str(
                mistake["ctx"]["expected_tags"]
            )
        elif kind in ("model_type", "dict_type") or kind.startswith("model_attributes"):
            what = "should hold settings, one `name: value` a line"
        elif not what.startswith(("there", "one", "only", "at least", "the ")):
            what = f"{what[0].lower()}{what[1:]}"
            # The message of a validator of our own is about something within the settings.
            if kind != "value_error" or not isinstance(mistake["input"], dict | list):
                given = repr(mistake["input"])
                what += f", not {given if len(given) <= LONGEST else given[:LONGEST] + '…'}"
        mistakes.append(f"{'.'.join(where)}: {what}" if where else what)
    return "; ".join(mistakes)
