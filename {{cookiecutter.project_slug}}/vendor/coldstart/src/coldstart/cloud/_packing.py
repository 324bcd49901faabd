"""What goes to a machine: the settings, the contract and the raw data, and nothing else."""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from pathspec import GitIgnoreSpec

from coldstart.cloud._snapshots import SHARED
from coldstart.config._settings import CHECKPOINTS, CONFIG, Settings
from coldstart.errors import UserError

IGNORED = Path(".skyignore")
MANY = 10_000  # files
CODE = ("pyproject.toml", "constraints.txt", "infra/environment.py", "src")
KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
SECRET = re.compile(r"id_(rsa|dsa|ecdsa|ed25519)|\.env(\..*)?|.*\.(pem|key|p12|pfx)|credentials")
OWN = {"tracking_uri", "serving", "choose"}  # settings of this place, not of a training


def paths_of(settings: Settings) -> list[Path]:
    """Files that a training reads, without those that .skyignore names.

    Checkpoints are among them, so that it goes on where one that was cut off here has ended, and
    so is what jobs that belong together begin with.

    Raises
    ------
    UserError
        If one is missing, outside of the project, or looks like a secret, or they are very many.
    """
    ignored = ignored_files()
    found: dict[str, Path] = {}
    tables = [settings.data.table, *(join.file for join in settings.data.joins)]
    for named in (settings.contract, *tables):
        if isinstance(named, str):
            continue  # in an object store: the machine reads it there
        if not named.resolve().is_relative_to(Path.cwd()):
            raise UserError(f"{named} is outside of the project, and stays here: move it to data/")
        before = len(found)
        for path in below(named):
            if ignored.match_file(path):
                continue
            refuse_secret(path)
            found[os.path.normpath(path)] = Path(os.path.normpath(path))
            if len(found) > MANY:
                raise UserError(
                    f"{named} has more than {MANY} files: put them into few (Parquet), or name "
                    f"what is not needed in {IGNORED}"
                )
        if len(found) == before:
            raise UserError(f"{named}: there is no such file, or {IGNORED} names it")
    for folder in (CHECKPOINTS, SHARED):
        found |= {path.as_posix(): path for path in below(folder) if path.is_file()}
    return [found[name] for name in sorted(found)]


def ignored_files() -> GitIgnoreSpec:
    """What .skyignore names."""
    lines = IGNORED.read_text(encoding="utf-8").splitlines() if IGNORED.is_file() else []
    return GitIgnoreSpec.from_lines(lines)


def below(named: Path) -> Iterator[Path]:
    """The file itself, those of the folder, or those that fit the pattern."""
    if named.is_dir():
        for folder, _, files in os.walk(named):
            yield from (Path(folder, file) for file in files)
    elif named.exists():
        yield named
    else:
        yield from Path().glob(named.as_posix())


def refuse_secret(path: Path) -> None:
    """Keep what may open something else where it is.

    Raises
    ------
    UserError
        If it looks like a key or a password.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    if SECRET.fullmatch(path.name) or KEY.search(start):
        raise UserError(f"{path} looks like a secret, and stays here: name it in {IGNORED}")


def pack(settings: Settings, into: Path, owner: int = 0) -> None:
    """Write a tar archive of it, with the settings of this moment as its config.yaml.

    Of the same files and settings it is the same archive.

    Parameters
    ----------
    owner
        Number of the user who is to own it there.
    """

    def owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = owner
        return entry

    paths = paths_of(settings)
    chosen = settings.model_dump(mode="json", include=set(Settings.model_fields) - OWN)
    config = yaml.safe_dump(chosen, sort_keys=False, allow_unicode=True).encode()
    with writing(into) as tar:
        entry = tarfile.TarInfo(CONFIG.name)
        entry.size = len(config)
        tar.addfile(owned(entry), io.BytesIO(config))
        for folder in sorted({parent for path in paths for parent in path.parents[:-1]}):
            entry = tarfile.TarInfo(folder.as_posix())  # else it would be root's
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(owned(entry))
        for path in paths:
            tar.add(path.resolve(), path.as_posix(), filter=owned)


def pack_code(into: Path) -> None:
    """Write a tar archive of what the project's environment is made of, and of its sources.

    Raises
    ------
    UserError
        If a file looks like a secret.
    """
    ignored = ignored_files()
    with writing(into) as tar:
        for path in sorted({path for name in CODE for path in below(Path(name))}):
            if path.suffix != ".pyc" and not ignored.match_file(path):
                refuse_secret(path)
                tar.add(path, path.as_posix())


@contextmanager
def writing(into: Path) -> Iterator[tarfile.TarFile]:
    """A compressed tar archive, which tells no time of its own."""
    with (
        into.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        yield tar


def unpack(archive: Path, folder: Path) -> None:
    """Put what was packed into a folder."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
