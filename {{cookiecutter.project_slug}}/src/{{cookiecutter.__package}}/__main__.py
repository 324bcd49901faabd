"""The command line: finds the commands, runs one, and tells a person's mistakes from bugs."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys

import yaml
from dotenv import load_dotenv
from pydantic import ValidationError
from pydantic_settings import SettingsError

from . import commands, limbs
from .commands import Command
from .errors import UserError, describe, no_room
from .locking import lock
from .settings import CONFIG, PACKAGE, PREFIX, rank_of

VERBOSE = ("-v", "--verbose")
AGAIN = "what was finished is kept; when that is mended, run this again"


def find_commands() -> dict[str, type[Command]]:
    """All commands by name: the spine's, and those of each limb there is."""
    modules = [commands]
    modules += limbs.find("commands")
    return {
        called(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Command)
        and value.run is not Command.run  # which others begin with
        and value.__module__ == module.__name__
    }


def called(kind: type[Command]) -> str:
    """What a command is called on the command line: TuneHome is tune-home."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def main(arguments: list[str]) -> int:
    """Run one command and return the exit code: its own, or 2 for a mistake of the person's."""
    found = find_commands()
    if any(argument in VERBOSE for argument in arguments):
        arguments = [argument for argument in arguments if argument not in VERBOSE]
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: python -m {PACKAGE} COMMAND [--help] [-v] [--setting value ...]\n")
        width = max(map(len, found))
        for name, kind in sorted(found.items()):
            print(f"  {name:{width}}  {(kind.__doc__ or '').splitlines()[0]}")
        return 0
    name, *rest = arguments
    try:
        if name not in found:
            raise UserError(
                f"there is no command {name!r}; choose among {', '.join(sorted(found))}"
            )
        command = build(found[name], rest)
        rank, ranks = rank_of()
        if rank:
            from .ranks import follow  # torch takes seconds to import

            return follow(command.neural)
        with contextlib.ExitStack() as stack:
            if command.alone:
                stack.enter_context(lock())
            if ranks > 1:
                from .ranks import leading

                stack.enter_context(leading(command.neural))
            code = command.run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        reason = no_room(error) if isinstance(error, OSError) else store_trouble(error)
        if reason is None:
            raise
        print(f"error: {reason}\n{AGAIN}", file=sys.stderr)
        return 2
    return code or 0


def store_trouble(error: Exception) -> str | None:
    """What is wrong if it was the tracking store that failed; it may do so at any moment."""
    if type(error).__module__ != "mlflow.exceptions":
        return None
    from .tracking import trouble  # it is loaded: the error is MLflow's

    return trouble(error)


def build(command: type[Command], arguments: list[str]) -> Command:
    """Read a command's settings from config.yaml, .env, the environment and the command line.

    What .env holds is put into the environment, so that AWS' and MLflow's libraries see it too.

    Raises
    ------
    UserError
        If one of them is missing, unknown or wrong.
    """
    if not CONFIG.is_file():
        raise UserError(f"there is no {CONFIG} here; run this in the project's folder")
    try:
        load_dotenv(".env", interpolate=False)  # a password may hold a $
    except UnicodeDecodeError:
        raise UserError(".env is not UTF-8 text: save it as such") from None
    for variable in os.environ:
        field = variable.removeprefix(PREFIX).split("__")[0].lower()
        if variable.startswith(PREFIX) and field not in command.model_fields:
            raise UserError(
                f"{variable} is set in the environment or in .env, but is no setting: remove it"
            )
    call = f"python -m {PACKAGE} {called(command)}"
    see = f"see make help, or {call} --help"
    try:
        return command(_cli_parse_args=arguments, _cli_prog_name=call)
    except ValidationError as error:
        raise UserError(f"settings: {describe(error, command.model_fields)}; {see}") from None
    except SettingsError as error:
        what = str(error).removeprefix("error parsing CLI: ")
        raise UserError(f"settings: {what}; {see}") from None
    except ValueError:
        raise UserError(f"{CONFIG} is not a list of settings, one `name: value` a line") from None
    except yaml.YAMLError as error:
        raise UserError(f"{CONFIG} is not YAML: {' '.join(str(error).split())}") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
