"""The software bill of materials of an image, as CycloneDX: the Python packages in it."""

from __future__ import annotations

import json
from pathlib import Path

from coldstart.errors import UserError
from coldstart.images._hosts import run_docker

# Run by the image's own Python, so that what is listed is what is installed there.
LIST = """
import json, platform
from importlib.metadata import distributions
found = {one.name: [one.version, one.metadata.get("License-Expression")] for one in distributions()}
print(json.dumps([platform.python_version(), found]))
"""


def write_sbom(image: str, file: Path) -> int:
    """Write the packages in an image, with versions and licenses.

    Python itself is among them; the base image's Debian packages are not.

    Parameters
    ----------
    image : str
        Name and tag.
    file : Path
        Where to write it.

    Returns
    -------
    int
        Number of packages.

    Raises
    ------
    UserError
        If the library that writes it is not installed, or the image cannot be run.
    """
    try:
        from cyclonedx.factory.license import LicenseFactory
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output import make_outputter
        from cyclonedx.schema import OutputFormat, SchemaVersion
        from packageurl import PackageURL
    except ModuleNotFoundError as error:
        raise UserError(
            f"{file} was not written: {error.name} is not installed; python3 infra/environment.py"
        ) from None

    python, packages = list_packages(image)
    name, _, version = image.rpartition(":")
    root = Component(type=ComponentType.CONTAINER, name=name, version=version, bom_ref=image)
    platform = Component(
        type=ComponentType.PLATFORM, name="python", version=python, bom_ref="python"
    )
    bom = Bom(components=[platform])
    bom.metadata.component = root
    licenses = LicenseFactory()
    for package, (release, license_) in packages.items():
        bom.components.add(
            Component(
                type=ComponentType.LIBRARY,
                name=package,
                version=release,
                licenses=[licenses.make_from_string(license_)] if license_ else [],
                purl=PackageURL("pypi", name=package.lower().replace("_", "-"), version=release),
                bom_ref=f"{package}=={release}",
            )
        )
    bom.register_dependency(root, bom.components)
    written = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    file.write_text(written.output_as_string(indent=2) + "\n", encoding="utf-8")
    return len(packages)


def list_packages(image: str) -> tuple[str, dict[str, tuple[str, str | None]]]:
    """Return an image's version of Python, and version and license of its packages by name."""
    command = ["run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", LIST]
    try:
        python, packages = json.loads(run_docker(*command))
    except UserError as error:
        raise UserError(f"{image} was built, but its packages cannot be listed: {error}") from None
    return python, {name: tuple(packages[name]) for name in sorted(packages)}
