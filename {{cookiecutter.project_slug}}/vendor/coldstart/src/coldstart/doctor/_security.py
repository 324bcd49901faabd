"""Secrets in files that git keeps, and known vulnerabilities of the pinned packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from coldstart._diagnostics import Finding, note, ok, wrong
from coldstart.doctor._pins import FILE, read_requirements

OSV = "https://api.osv.dev"
TIMEOUT = (2, 5)  # seconds to connect, and for the response
LARGEST = 1_000_000  # bytes of a file that is searched: data is larger
LISTED = 3
# These judge by names and by randomness, and find checksums and examples.
IMPRECISE = {
    *("Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector", "KeywordDetector"),
}
FILTERS = (
    "detect_secrets.filters.allowlist.is_line_allowlisted",
    "detect_secrets.filters.heuristic.is_templated_secret",
)
REVOKE = "revoke it and take it out; where it is none, add the comment: pragma: allowlist secret"
MISSING = "python3 infra/environment.py"
# The last line of pip-audit's errors where OSV does not respond, or not as it should.
NO_SERVICE = re.compile(r"requests\.exceptions\.|.*\b(ServiceError|Could not connect)\b")


def secrets(vendor: bool = False) -> Finding:
    """Check that no file that git keeps holds a key or a token of a known form.

    Parameters
    ----------
    vendor : bool, default=False
        Whether the engine's files are searched as well, which takes four times as long.

    Returns
    -------
    Finding
        Wrong if there is one.
    """
    subject = "secrets"
    try:
        found = list(find_secrets(vendor))
    except ModuleNotFoundError as error:
        return note(subject, f"not checked: {error.name} is not installed", MISSING)
    if found:
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        return wrong(subject, f"git keeps {', '.join(found[:LISTED])}{more}", REVOKE)
    return ok(subject, "none found in the files that git keeps")


def find_secrets(vendor: bool) -> Iterator[str]:
    """Yield kind and place of what looks like a secret, without the secret."""
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import transient_settings

    detectors: dict[str, Any] = get_mapping_from_secret_type_to_class()
    kinds = {kind.__name__ for kind in detectors.values()}
    settings = {
        "plugins_used": [{"name": name} for name in sorted(kinds - IMPRECISE)],
        "filters_used": [{"path": path} for path in FILTERS],
    }
    with transient_settings(settings):
        for path in tracked_files():
            if vendor or not path.startswith("vendor/"):
                for secret in scan_file(path):
                    yield f"{secret.type} in {path}:{secret.line_number}"


def tracked_files() -> Iterator[str]:
    """Yield the text files that git keeps, or would with the next `git add`."""
    if not shutil.which("git"):
        return
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for name in listed.split("\0"):
        path = Path(name)
        if path.is_file() and path.name != FILE.name and path.stat().st_size <= LARGEST:
            with path.open("rb") as file:
                if b"\0" not in file.read(1024):
                    yield name


def vulnerabilities() -> Finding:
    """Ask OSV, in one request, for known vulnerabilities of the versions in constraints.txt."""
    subject, address = "vulnerabilities", service()
    pins = list(read_requirements(FILE.read_text("utf-8")))
    versions = [(one.name, next(iter(one.specifier)).version) for one in pins if one.specifier]
    queries: Any = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        for name, version in versions
    ]
    try:
        response = requests.post(
            f"{address}/v1/querybatch", json={"queries": queries}, timeout=TIMEOUT
        )
        response.raise_for_status()
        results = [one.get("vulns", []) for one in response.json()["results"]]
    except (requests.RequestException, ValueError, KeyError, AttributeError):
        return note(subject, f"not checked: {urlsplit(address).hostname} does not respond")
    known = [
        f"{name} {version} ({found[0]['id']})"
        for (name, version), found in zip(versions, results, strict=False)
        if found
    ]
    if known:
        more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
        names = ",".join(one.split()[0] for one in known)
        hint = f"make audit tells more; make pins NOW={names}"
        return note(subject, f"known of {', '.join(known[:LISTED])}{more}", hint)
    return ok(subject, f"none known of {len(versions)} packages")


def service() -> str:
    """Return the address of the vulnerability service: OSV's, or OSV_URL."""
    return os.environ.get("OSV_URL", OSV).rstrip("/")


def run_audit() -> int:
    """Search all files for secrets, and check all packages with pip-audit.

    Returns
    -------
    int
        Exit code: 1 if there is a secret, a known vulnerability, or a package that was not
        checked, else 0.
    """
    finding = secrets(vendor=True)
    print(finding, flush=True)
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(FILE), "--require-hashes"]
    command += ["--disable-pip", "--strict", "--progress-spinner=off", "--vulnerability-service"]
    command += ["osv", "--osv-url", f"{service()}/v1/query"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    lines = done.stderr.strip().splitlines()
    if done.returncode and not done.stdout and lines and "found" not in lines[-1].lower():
        lines = [str(explain_failure(lines[-1]))]
    print(*lines, sep="\n", flush=True)
    return int(finding.state != "ok" or bool(done.returncode))


def explain_failure(line: str) -> Finding:
    """Explain why pip-audit ended without a result, from the last line that it printed."""
    subject = "vulnerabilities"
    if not NO_SERVICE.match(line):
        return wrong(subject, f"not checked: {line}", "make audit")
    host = urlsplit(service()).hostname
    what = "check the network, or set OSV_URL to an address that responds"
    return wrong(subject, f"not checked: {host} does not respond; {what}", "")
