"""What is uploaded for a job: settings, contract and raw data; and the code, where it is needed."""

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

from coldstart.config._settings import CHECKPOINTS, CONFIG, Settings
from coldstart.contract._contract import Contract, table_folder
from coldstart.contract._pictures import is_picture
from coldstart.contract.columns import Image
from coldstart.errors import UserError

IGNORE = Path(".skyignore")
CODE = ("pyproject.toml", "constraints.txt", "infra/environment.py", "src", "vendor")
KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
SECRET = re.compile(r"id_(rsa|dsa|ecdsa|ed25519)|\.env(\..*)?|.*\.(pem|key|p12|pfx)|credentials")
# Settings of this computer, not of a training.
LOCAL_SETTINGS = {"tracking_uri", "serving", "choose"}


def input_files(settings: Settings) -> list[Path]:
    """Return the files that a training reads, without those that .skyignore names.

    Their paths are relative to the project's folder. Checkpoints are among them, so that an
    interrupted training is resumed on the machine.

    Raises
    ------
    UserError
        If a file is missing, lies outside of the project or looks like a secret.
    """
    ignored = read_ignore_file()
    found: dict[str, Path] = {}
    pictures = {settings.data.table: picture_files(settings)}
    tables = [settings.data.table, *(join.file for join in settings.data.joins)]
    for named in (settings.contract, *tables):
        if isinstance(named, str):
            continue  # in an object store: the machine reads it there
        if not named.resolve().is_relative_to(Path.cwd()):
            raise UserError(
                f"{named} lies outside of the project and is not uploaded: move it to data/"
            )
        before = len(found)
        for path in [*expand(named), *pictures.get(named, ())]:
            if ignored.match_file(path):
                continue
            refuse_secret(path)
            found[os.path.normpath(path)] = Path(os.path.normpath(path))
        if len(found) == before:
            raise UserError(f"{named}: there is no such file, or {IGNORE} lists it")
    found |= {path.as_posix(): path for path in expand(CHECKPOINTS) if path.is_file()}
    return [found[name] for name in sorted(found)]


def picture_files(settings: Settings) -> list[Path]:
    """Return the pictures below the table's folder, if a column holds their paths."""
    table = settings.data.table
    if isinstance(table, str) or not settings.contract.exists():
        return []
    columns = Contract.load(settings.contract).columns.values()
    if not any(isinstance(column, Image) for column in columns):
        return []
    return [path for path in expand(table_folder(table)) if is_picture(path.name)]


def read_ignore_file() -> GitIgnoreSpec:
    """Return the patterns in .skyignore."""
    lines = IGNORE.read_text(encoding="utf-8").splitlines() if IGNORE.is_file() else []
    return GitIgnoreSpec.from_lines(lines)


def expand(named: Path) -> Iterator[Path]:
    """Yield the file itself, the files of the folder, or those that match the pattern."""
    if named.is_dir():
        for folder, _, files in os.walk(named):
            yield from (Path(folder, file) for file in files)
    elif named.exists():
        yield named
    else:
        yield from Path().glob(named.as_posix())


def refuse_secret(path: Path) -> None:
    """Refuse a file that looks like a key or a password.

    Raises
    ------
    UserError
        If it does.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    if SECRET.fullmatch(path.name) or KEY.search(start):
        raise UserError(f"{path} looks like a secret and is not uploaded: list it in {IGNORE}")


def pack(settings: Settings, archive: Path, owner: int = 0) -> None:
    """Write the inputs of a training to a tar archive, with its settings as config.yaml.

    The same files and settings make the same archive. The owner is the number of the user who owns
    the files on the machine.
    """

    def set_owner(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = owner
        return entry

    paths = input_files(settings)
    sent = settings.model_dump(mode="json", include=set(Settings.model_fields) - LOCAL_SETTINGS)
    config = yaml.safe_dump(sent, sort_keys=False, allow_unicode=True).encode()
    with open_archive(archive) as tar:
        entry = tarfile.TarInfo(CONFIG.name)
        entry.size = len(config)
        tar.addfile(set_owner(entry), io.BytesIO(config))
        for folder in sorted({parent for path in paths for parent in path.parents[:-1]}):
            entry = tarfile.TarInfo(folder.as_posix())  # else it would belong to root
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(set_owner(entry))
        for path in paths:
            tar.add(path.resolve(), path.as_posix(), filter=set_owner)


def pack_code(archive: Path) -> None:
    """Write the project's sources, the engine's, and what their environment is made of.

    Raises
    ------
    UserError
        If a file looks like a secret.
    """
    ignored = read_ignore_file()
    with open_archive(archive) as tar:
        for path in sorted({path for name in CODE for path in expand(Path(name))}):
            if path.suffix != ".pyc" and not ignored.match_file(path):
                refuse_secret(path)
                tar.add(path, path.as_posix())


@contextmanager
def open_archive(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open a compressed tar archive for writing, without a time of its own in it."""
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        yield tar


def unpack(archive: Path, folder: Path) -> None:
    """Extract an archive into a folder."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
