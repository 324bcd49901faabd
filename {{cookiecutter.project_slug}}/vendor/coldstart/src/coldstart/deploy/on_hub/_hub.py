"""Repositories at the Hugging Face Hub, with its own client."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils.tqdm import disable_progress_bars

from coldstart.errors import UserError

EMPTY = {".gitattributes", "README.md"}
"""What the Hub puts into a new repository."""

Kind = Literal["model", "space"]
CODE = "vendor"  # of the engine, hundreds of files


class Hub:
    """A repository at the Hub, ``USER/NAME``, and who may write to it.

    By default it is of the token's user and has the project's name. The mark is the path of a file
    that each repository which the project wrote contains. With `dry_run` the Hub is not asked, what
    would be published is printed, and the user is shown as ``YOU``.

    Raises
    ------
    UserError
        If the name is not one of a repository, there is no token, or the Hub does not accept it.
    """

    def __init__(
        self, kind: Kind, repo: str | None, name: str, mark: str, dry_run: bool = False
    ) -> None:
        if repo and not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
            raise UserError(f"REPO={repo} is not the name of a repository: write USER/{name}")
        self.kind, self.mark, self.dry_run = kind, mark, dry_run
        if dry_run:
            self.repo = repo or f"YOU/{name}"
            return
        if not sys.stderr.isatty():
            disable_progress_bars()
        if not get_token():
            raise UserError(
                "Hugging Face needs a token that may write: set HF_TOKEN in .env, or run "
                ".venv/bin/hf auth login (https://huggingface.co/settings/tokens)"
            )
        # The client keeps the address that it found when it was imported.
        self.api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        with self.errors("the name of its user"):
            self.repo = repo or f"{self.api.whoami()['name']}/{name}"

    @property
    def url(self) -> str:
        """Address of the repository's page."""
        return f"{self.api.endpoint}/{'spaces/' * (self.kind == 'space')}{self.repo}"

    @contextlib.contextmanager
    def errors(self, what: str = "") -> Iterator[None]:
        """Raise errors of the client as `UserError` with one line of text.

        Raises
        ------
        UserError
            If the Hub refuses a request, or cannot be reached.
        """
        try:
            yield
        except (HfHubHTTPError, httpx2.HTTPError, RuntimeError, ValueError) as error:
            raise UserError(self.explain(error, what or f"{self.kind} {self.repo}")) from None

    def explain(self, error: Exception, what: str) -> str:
        """Explain an error of the client in a line."""
        if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
            return self.explain(error.__cause__, what)  # of the upload of a file
        if isinstance(error, ValueError):  # the Hub's checks of a card, among others
            return f"{what}: {' '.join(str(error).split())[:300]}"
        if not isinstance(error, HfHubHTTPError):
            reason = " ".join(str(error).split())[:200]
            return f"{self.api.endpoint} does not respond: {reason}; try again"
        said = " ".join((error.server_message or error.response.reason_phrase).split())[:200]
        if error.response.status_code in (401, 403):
            settings = "https://huggingface.co/settings/tokens"
            return f"{what}: the token may not do that ({said}); it needs the right to: {settings}"
        return f"{what}: {error.response.status_code} {said}"

    def find(self) -> tuple[set[str], bool] | None:
        """Return the paths of the repository's files, and whether it is private; None without one.

        Raises
        ------
        UserError
            If another than this command has written it.
        """
        with self.errors():
            try:
                info: Any = self.api.repo_info(self.repo, repo_type=self.kind)
            except RepositoryNotFoundError:
                return None
        files = {one.rfilename for one in info.siblings or []}
        if self.mark not in files and not files <= EMPTY:
            raise UserError(
                f"{self.url} has files that this command did not write: choose another REPO="
            )
        return files, bool(info.private)

    def publish(
        self,
        folder: Path,
        message: str,
        public: bool,
        personal: Sequence[str],
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """Replace the repository's files by those of a folder, in one commit.

        One that is public stays so. `personal` are the names of the personal features of the model.

        Raises
        ------
        UserError
            If the model uses personal data and the repository is public, or the Hub refuses it.
        """
        paths = find_paths(folder)
        if self.dry_run:
            check_personal(self.repo, public, personal)
            self.print_plan(message, public, paths)
            return
        found = self.find()
        old, private = found or (set(), not public)
        check_personal(self.url, public or not private, personal)
        new = [CommitOperationAdd(name, path) for name, path in paths.items()]
        gone = [CommitOperationDelete(name) for name in sorted(old - {*paths, ".gitattributes"})]
        with self.errors():
            if found is None:
                sdk = "docker" if self.kind == "space" else None
                self.api.create_repo(self.repo, repo_type=self.kind, private=private, space_sdk=sdk)
            elif private and public:
                self.api.update_repo_settings(self.repo, repo_type=self.kind, visibility="public")
            for key, value in (secrets or {}).items():
                self.api.add_space_secret(self.repo, key, value)
            # `upload_folder` would make several commits of many files: a Space starts at each.
            self.api.create_commit(
                self.repo, [*new, *gone], commit_message=message, repo_type=self.kind
            )
        shown = "public" if public or not private else "private"
        print(f"{message} is at {self.url} ({shown}, {len(new)} files)")

    def print_plan(self, message: str, public: bool, paths: dict[str, Path]) -> None:
        """Print files that would be published, those of the engine in one line."""
        kind, shown = (
            "a Space" if self.kind == "space" else "a model",
            "public" if public else "private",
        )
        print(f"would publish {message} as {kind}, {self.repo} ({shown}), {len(paths)} files:")
        code = [path for name, path in paths.items() if name.startswith(f"{CODE}/")]
        print(*(name for name in paths if not name.startswith(f"{CODE}/")), sep="\n")
        if code:
            size = sum(path.stat().st_size for path in code) / 1e6
            print(f"{CODE}/ ({len(code)} files, {size:.1f} MB)")


def find_paths(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their names in a repository, sorted."""
    found = {one.relative_to(folder).as_posix(): one for one in folder.rglob("*") if one.is_file()}
    return dict(sorted(found.items()))


def check_personal(where: str, public: bool, personal: Sequence[str]) -> None:
    """Refuse to publish a model of personal data where everybody may read it."""
    if personal and public:
        raise UserError(
            f"{where} would be public, and the model uses personal data ({personal[0]}), "
            "of which it may contain values: publish it without PUBLIC=1, in a private REPO="
        )
