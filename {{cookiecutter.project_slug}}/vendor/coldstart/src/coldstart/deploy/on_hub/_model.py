"""Publishing a model: its bundle and its card, as a repository of models."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from coldstart._provenance import project_name
from coldstart.bundle._bundle import MANIFEST
from coldstart.config._settings import Settings
from coldstart.deploy.on_hub._card import LICENSE, hub_card
from coldstart.deploy.on_hub._hub import Hub
from coldstart.deploy.on_hub._published import personal_features, write_published
from coldstart.errors import UserError
from coldstart.tracking import _mlflow as tracking
from coldstart.tracking._registry import (
    BUNDLES,
    CHALLENGER,
    CHAMPION,
    check_registered,
    download,
)


def push_model(
    settings: Settings, repo: str | None, ref: str, public: bool, dry_run: bool = False
) -> None:
    """Publish a model at the Hub: ``champion``, ``challenger``, or a registered version's number.

    Raises
    ------
    UserError
        If there is no such model, the Hub refuses it, or it may not be public.
    """
    with tempfile.TemporaryDirectory() as temporary:
        if ref in (CHAMPION, CHALLENGER):
            bundle = BUNDLES / ref
            if not bundle.exists():
                raise UserError(f"there is no {ref} to publish; run: make train, then make promote")
        elif ref.isdecimal():
            bundle, client = Path(temporary, "registered"), tracking.connect(settings)
            check_registered(client, settings, ref)
            download(settings, ref, bundle)
        else:
            raise UserError(
                f"{ref!r} is not a model: write REF=champion, REF=challenger or the number of a "
                "version, as VERSION=5"
            )
        name = project_name()
        hub = Hub("model", repo, name, MANIFEST, dry_run)
        folder = Path(temporary, "published")
        predictor = write_published(bundle, folder)
        if LICENSE.is_file():
            shutil.copy(LICENSE, folder)
        title = settings.serving.title or settings.project.title
        hub_card(folder, predictor.manifest, hub.repo, title).save(folder / "README.md")
        message = f"Version {predictor.number} ({predictor.manifest.family})"
        hub.publish(folder, message, public, personal_features(predictor))
