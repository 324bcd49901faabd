"""The command line: finds a command, runs it, and separates user errors from bugs."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterable
from types import ModuleType

from dotenv import load_dotenv
from pydantic import ValidationError
from pydantic_settings import SettingsError

from coldstart._locking import lock
from coldstart._project import Project
from coldstart._terminal import printable, printable_output
from coldstart.cli import (
    _cloud,
    _commands,
    _data,
    _deploy,
    _doctor,
    _images,
    _leaderboard,
    _monitor,
    _pages,
    _report,
    _skypilot,
    _tuning,
)
from coldstart.cli._commands import Command
from coldstart.config._settings import CONFIG, Settings, rank_of
from coldstart.contract._derived import register_derived
from coldstart.errors import UserError, describe, no_room, unusable

VERBOSE = ("-v", "--verbose")
AGAIN = "what was finished is kept; fix that, and run this again"


MODULES = [
    _commands,
    _data,
    _tuning,
    _leaderboard,
    _report,
    _pages,
    _monitor,
    _images,
    _deploy,
    _cloud,
    _skypilot,
    _doctor,
]


def find_commands(wanted: str = "") -> dict[str, type[Command]]:
    """Return all commands by name: the engine's, and those that other packages add.

    Another package adds one as a module in the entry point group `coldstart.commands`. To look for
    them takes long, and is left out if the wanted command is one of the engine's.
    """
    found = commands_of(MODULES)
    if wanted not in found:
        from importlib.metadata import entry_points

        added = [one.load() for one in entry_points(group="coldstart.commands")]
        found = commands_of(added) | found
    return found


def commands_of(modules: Iterable[ModuleType]) -> dict[str, type[Command]]:
    """Return the commands that modules define, by name."""
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
    """Return a command's name on the command line: TuneHome is tune-home."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def main(project: Project, arguments: list[str]) -> int:
    """Run one of a project's commands.

    Parameters
    ----------
    project : Project
        The project.
    arguments : list of str
        The command line without the program's name.

    Returns
    -------
    int
        The command's exit code; 2 for a mistake of the user.
    """
    if any(argument in VERBOSE for argument in arguments):
        arguments = [argument for argument in arguments if argument not in VERBOSE]
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    found = find_commands(*arguments[:1])
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: python -m {project.package} COMMAND [--help] [-v] [--setting value ...]\n")
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
        if rest and rest[0] in ("-h", "--help"):
            print_help(project, found[name])
            return 0
        command = build(project, found[name], rest)
        if project.derived:
            register_derived(project.load("derived"))
        rank, ranks = rank_of()
        if rank:
            from coldstart.nn._ranks import run_worker  # torch takes seconds to import

            return run_worker(command.neural)
        with contextlib.ExitStack() as stack:
            stack.enter_context(printable_output())
            if command.alone:
                stack.enter_context(lock())
            if ranks > 1:
                from coldstart.nn._ranks import leading

                stack.enter_context(leading(command.neural))
            code = command.run()
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        reason = no_room(error) or unusable(error) or store_trouble(error)
        if reason is None:
            raise
        print(f"error: {printable(reason)}\n{AGAIN}", file=sys.stderr)
        return 2
    return code or 0


def print_help(project: Project, kind: type[Command]) -> None:
    """Print what a command does, its own settings, and where all others are."""
    name = called(kind)
    print(f"usage: python -m {project.package} {name} [--setting value ...]\n\n{kind.__doc__}\n")
    fields = kind.model_fields
    own = [*kind.shown, *(field for field in fields if field not in Settings.model_fields)]
    for field in own:
        option = f"--{field.replace('_', '-')}"
        print(f"  {option:16} {fields[field].description or ''}".rstrip())
    print(
        f"\nAll settings of {CONFIG} can be given, such as --seed 1 or --neural.epochs 5:\n"
        f"python -m {project.package} {name} --help-all"
    )


def store_trouble(error: Exception) -> str | None:
    """Explain an error of the tracking store, which may occur in any command; otherwise None."""
    if type(error).__module__ != "mlflow.exceptions":
        return None
    from coldstart.tracking._mlflow import explain_error  # it is loaded: the error is MLflow's

    return explain_error(error)


def build(project: Project, command: type[Command], arguments: list[str]) -> Command:
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
    prefix = project.env_prefix
    for variable in os.environ:
        field = variable.removeprefix(prefix).split("__")[0].lower()
        if variable.startswith(prefix) and field not in command.model_fields:
            raise UserError(
                f"{variable} is set in the environment or in .env, but is no setting: remove it"
            )
    arguments = ["--help" if one == "--help-all" else one for one in arguments]
    call = f"python -m {project.package} {called(command)}"
    see = f"see make help, or {call} --help"
    try:
        settings = command(_cli_parse_args=arguments, _cli_prog_name=call, _env_prefix=prefix)
        return settings.for_project(project)
    except ValidationError as error:
        raise UserError(f"settings: {describe(error, command.model_fields)}; {see}") from None
    except SettingsError as error:
        what = str(error).removeprefix("error parsing CLI: ")
        raise UserError(f"settings: {what}; {see}") from None
    except ValueError:
        raise UserError(f"{CONFIG} is not a list of settings, one `name: value` a line") from None
