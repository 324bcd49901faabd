"""The platform's commands: up, down, user, backup, restore, wipe. `make help` lists them.

They need Docker with compose and Python's standard library, so that this folder alone can be copied
to a server.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import secrets
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import IO

import archive
from engine import (
    DATABASE,
    ENV,
    NAME,
    PlatformError,
    address,
    build,
    compose,
    docker,
    execute,
    in_server,
    new_settings,
    query,
    request,
    require_running,
    settings,
)

# Counts what was added to a new platform, which has one experiment and one user.
USED = """
select (select count(*) from runs) + (select count(*) from registered_models)
     + (select count(*) from experiments) - 1 + (select count(*) from users) - 1
"""


def up() -> None:
    """Write .env if there is none, build the server's image, and start the containers."""
    docker("version")
    if not ENV.exists():
        new_settings()
    build()
    compose("up", "--detach", "--wait", "--no-build")
    print(f"MLflow: {address()} (user {settings()['ADMIN_USERNAME']}; {ENV} has its password)")


def down() -> None:
    """Stop the containers, and keep their data."""
    settings()
    compose("down")


def wipe(sure: bool) -> None:
    """Stop the containers and delete their data. .env stays, to restore a backup with it."""
    name = settings()["COMPOSE_PROJECT_NAME"] if ENV.exists() else NAME
    if not sure:
        print(f"This deletes all runs and models of {name}. To confirm, type its name: ", end="")
        if sys.stdin.readline().strip() != name:
            raise PlatformError("nothing was deleted")
    if ENV.exists():
        compose("down", "--volumes")
    else:
        docker("volume", "rm", *(f"{name}_{part}" for part in ("database", "artifacts", "scratch")))


def user(name: str | None, reset: bool, remove: bool) -> None:
    """Add a user, set a new password, or remove a user; print what the user needs."""
    if not name:
        raise PlatformError("the name of the user is missing: NAME=ann")
    password = secrets.token_urlsafe(16)
    if remove:
        request("DELETE", "users/delete", username=name)
        print(f"{name} was removed")
        return
    if reset:
        request("PATCH", "users/update-password", username=name, password=password)
    else:
        request("POST", "users/create", username=name, password=password)
    print(f"export MLFLOW_TRACKING_URI={address()}")
    print(f"export MLFLOW_TRACKING_USERNAME={name} MLFLOW_TRACKING_PASSWORD={password}")


def backup(path: Path) -> None:
    """Write everything into one file. Trainings may run meanwhile.

    The database is read first. A row is written after its artifacts, so the artifacts of all rows
    are in the store when it is read.
    """
    if path.exists():
        raise PlatformError(f"{path} exists; choose another name")
    require_running("postgres", "mlflow")
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.write(path) as out:
        with tempfile.TemporaryFile(dir=path.parent) as dump:
            login = ("--username", DATABASE, DATABASE)
            execute("pg_dump", "--format=custom", *login, stdout=dump)
            member = tarfile.TarInfo(archive.DATABASE)
            member.size = dump.seek(0, os.SEEK_END)
            dump.seek(0)
            out.add(member, dump)
        copy_artifacts(out)
        out.finish(made=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
    size = path.stat().st_size / 1e6
    print(f"{path}: the database and {len(out.hashes) - 1} artifacts, {size:.1f} MB")


def copy_artifacts(out: archive.Writer) -> None:
    """Add all artifacts to a backup, in the order of the store."""
    with subprocess.Popen(in_server("artifacts.py", "export"), stdout=subprocess.PIPE) as copy:
        assert copy.stdout is not None
        try:
            with tarfile.open(fileobj=copy.stdout, mode="r|") as store:
                for member in store:
                    content = store.extractfile(member)
                    assert content is not None
                    out.add(member, content)
        except tarfile.ReadError:
            copy.stdout.close()
            copy.wait()
            raise PlatformError("the artifacts could not be read: see above") from None
    if copy.returncode:
        raise PlatformError("the artifacts could not be read: see above")


def restore(path: Path | None, overwrite: bool) -> None:
    """Restore a backup; MLflow stops meanwhile.

    Artifacts come first, and the database last and in one step. An interruption at any moment
    leaves either the old rows, or those of the backup with their artifacts.
    """
    if path is None:
        raise PlatformError("the backup is missing: FILE=backups/....tar")
    try:
        contents = archive.verify(path)
    except OSError as error:
        raise PlatformError(f"{path}: {error.strerror}") from None
    except archive.BadBackupError as error:
        raise PlatformError(f"{path} {error}; nothing was changed") from None
    require_running("postgres")
    if query(USED) != "0" and not overwrite:
        raise PlatformError(
            "this platform has runs, models or users, and nothing was changed; "
            "to replace them: OVERWRITE=1"
        )
    compose("stop", "mlflow")
    try:
        with path.open("rb") as file:
            copied = subprocess.run(
                in_server("artifacts.py", "import"), stdin=file, stdout=subprocess.PIPE, check=False
            )
        if copied.returncode:
            raise PlatformError("the artifacts could not be stored; the runs were not changed")
        with tarfile.open(path, "r:") as tar:
            dump = tar.extractfile(archive.DATABASE)
            assert dump is not None
            replace_database(dump)
        if subprocess.run(in_server("admin.py"), check=False).returncode:
            raise PlatformError("restored, but the administrator's password is that of the backup")
    finally:
        compose("up", "--detach", "--wait", "--no-build")
    print(f"{path}: restored from {contents['made']}; artifacts: {copied.stdout.decode().strip()}")


def replace_database(dump: IO[bytes]) -> None:
    """Fill a second database, and let it replace the first one in a single step."""
    for name in ("replaced", "restored"):
        query(f"drop database if exists {name}", "postgres")
    query("create database restored", "postgres")
    command = ("pg_restore", "--exit-on-error", "--username", DATABASE, "--dbname", "restored")
    with tempfile.TemporaryFile() as file:
        while part := dump.read(2**20):
            file.write(part)
        file.seek(0)
        execute(*command, stdin=file)
    query(
        f"begin; alter database {DATABASE} rename to replaced;"
        f" alter database restored rename to {DATABASE}; commit",
        "postgres",
    )
    query("drop database replaced", "postgres")


def main() -> int:
    """Run one command, and return its exit code: 2 for a mistake of the user."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up")
    commands.add_parser("down")
    commands.add_parser("wipe").add_argument("--sure", action="store_true")
    of_user = commands.add_parser("user")
    of_user.add_argument("name", nargs="?")
    of_user.add_argument("--reset", action="store_true")
    of_user.add_argument("--remove", action="store_true")
    now = dt.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    of_backup = commands.add_parser("backup")
    of_backup.add_argument("path", type=Path, nargs="?", default=Path(f"backups/{now}.tar"))
    of_restore = commands.add_parser("restore")
    of_restore.add_argument("path", type=Path, nargs="?")
    of_restore.add_argument("--overwrite", action="store_true")
    given = vars(parser.parse_args())
    try:
        globals()[given.pop("command")](**given)
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
