"""Object stores: S3, Google Cloud Storage, Azure and Hugging Face, all read through pyarrow."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs

from coldstart.errors import UserError

RETRY = timedelta(seconds=10)  # Google's client would try for 15 minutes
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login",
    "az": "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or run: az login",
    "abfs": "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or run: az login",
    "hf": "HF_TOKEN, or run: hf auth login",
}
"""How each store gets credentials. The keys are the schemes of addresses."""
ENDPOINTS = {
    **{"s3": "AWS_ENDPOINT_URL", "gs": "STORAGE_EMULATOR_HOST", "hf": "HF_ENDPOINT"},
    **{"az": "AZURE_STORAGE_ENDPOINT", "abfs": "AZURE_STORAGE_ENDPOINT"},
}
"""Variables that select a store other than the provider's."""
# Parts of messages. What lacks credentials may also be said to be unreachable, so the order counts.
REASONS = {
    "no credentials": ("OAuth2 access token", "Credential", "credential"),
    "refused": ("403", "401", "ACCESS_DENIED", "PERMISSION_DENIED", "UNAUTHENTICATED", "Authori"),
    "unreachable": ("connect", "Connect", "NETWORK_CONNECTION", "resolve", "service not known"),
}


def open_store(address: str) -> tuple[Any, str]:
    """Open the store of an address.

    Parameters
    ----------
    address : str
        Such as `s3://bucket/key`, `gs://bucket/key`, `az://container/key` or
        `hf://datasets/owner/name/file.parquet`.

    Returns
    -------
    pyarrow.fs.FileSystem
        The store.
    str
        Path in it: bucket and key.

    Raises
    ------
    UserError
        If a package or the name of an account is missing.
    """
    scheme, _, path = address.partition("://")
    if scheme == "gs":
        return open_google(path)
    if scheme in ("az", "abfs"):
        return open_azure(address, path)
    try:
        store, path = fs.FileSystem.from_uri(address)
    except ImportError:
        raise UserError(
            f"{address}: hf:// needs a package that is not installed:\n"
            ".venv/bin/python -m uv pip install -c constraints.txt -e 'vendor/coldstart[hf]'"
        ) from None
    return store, path


def open_google(path: str) -> tuple[Any, str]:
    """Open Google Cloud Storage. `gs://anonymous@bucket` needs no credentials."""
    user, _, rest = path.rpartition("@") if path.startswith("anonymous@") else ("", "", path)
    options: dict[str, Any] = {"anonymous": bool(user), "retry_time_limit": RETRY}
    if endpoint := os.environ.get(ENDPOINTS["gs"]):
        at = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        options |= {"anonymous": True, "scheme": at.scheme, "endpoint_override": at.netloc}
    return fs.GcsFileSystem(**options), rest


def open_azure(address: str, path: str) -> tuple[Any, str]:
    """Open Azure Blob Storage.

    The account is in the address, `abfs://container@account.dfs.core.windows.net/key`, or in
    AZURE_STORAGE_ACCOUNT.

    Raises
    ------
    UserError
        If neither names one.
    """
    place, _, key = path.partition("/")
    container, _, host = place.partition("@")
    account = host.partition(".")[0] or os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    if not account:
        raise UserError(f"{address}: set AZURE_STORAGE_ACCOUNT to the name of the storage account")
    options = {}
    if secret := os.environ.get("AZURE_STORAGE_KEY"):
        options["account_key"] = secret
    elif token := os.environ.get("AZURE_STORAGE_SAS_TOKEN"):
        options["sas_token"] = token
    if endpoint := os.environ.get(ENDPOINTS["az"]):
        at = urlsplit(endpoint)
        for part in ("blob", "dfs"):
            options[f"{part}_storage_scheme"] = at.scheme
            options[f"{part}_storage_authority"] = at.netloc
    return fs.AzureFileSystem(account, **options), f"{container}/{key}"


def explain_error(address: str, error: Exception) -> str:
    """Explain an error of a store in one line, with a fix if one is known."""
    scheme, text = address.partition("://")[0], " ".join(str(error).split())
    found = next((why for why, parts in REASONS.items() if any(p in text for p in parts)), "")
    if found == "no credentials":
        return f"no credentials found; set {CREDENTIALS[scheme]}"
    if found == "refused":
        return f"access is refused; see {CREDENTIALS[scheme]}"
    if found == "unreachable":
        return f"{os.environ.get(ENDPOINTS[scheme], 'the store')} cannot be reached"
    return f"it cannot be read: {text[:200] or type(error).__name__}"
