"""A home of SkyPilot's own for each provider, which holds the credentials of that one alone.

SkyPilot copies the credentials of all clouds that it finds in its home to each machine that it
rents, and its server reads those in its environment. So there is a server for each provider.
"""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path

# Folders below your home with a provider's credentials, and beginnings of variables, where they are
# not `.NAME` and `NAME_`.
CREDENTIALS = {
    "do": ([".config/doctl"], ["DIGITALOCEAN_"]),
    "gcp": ([".config/gcloud"], ["GOOGLE_", "CLOUDSDK_"]),
    "k8s": ([".kube"], ["KUBECONFIG"]),  # as SkyPilot also calls it
    "kubernetes": ([".kube"], ["KUBECONFIG"]),
    "lambda": ([".lambda_cloud"], ["LAMBDA_"]),
    "slurm": ([".slurm", ".ssh"], ["SLURM_", "SSH_AUTH_SOCK"]),
    "vast": ([".config/vastai"], ["VAST_"]),
}
# Other variables that SkyPilot gets: none of them is a secret but that of a proxy.
COMMON = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TERM|TZ|TMPDIR|LANG|LC_\w+|SKYPILOT_\w+|UV_\w+|SSL_CERT_\w+"
    r"|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(?i:(HTTPS?|ALL|NO)_PROXY)"
)
# Ports of the servers. SkyPilot's own default is not among them: your server has other credentials.
PORTS = 20_000, 10_000


def surroundings(folder: Path, providers: list[str]) -> dict[str, str]:
    """Return all environment variables that SkyPilot gets for providers, and make its home.

    The credentials in the home are links, so that each is in one place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    home, beginnings = folder.resolve(), []
    for provider in providers:
        paths, names = CREDENTIALS.get(provider, ([f".{provider}"], [f"{provider.upper()}_"]))
        beginnings += names
        for path in paths:
            link, there = home / path, Path.home() / path
            if link.is_symlink():
                link.unlink()
            if there.exists() and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(there)
    given = {
        name: value
        for name, value in os.environ.items()
        if COMMON.fullmatch(name) or name.startswith(tuple(beginnings))
    }
    first, count = PORTS
    port = first + zlib.crc32(str(home).encode()) % count
    return {"SKYPILOT_API_SERVER_LOCAL_PORT": str(port), **given, "HOME": str(home)}
