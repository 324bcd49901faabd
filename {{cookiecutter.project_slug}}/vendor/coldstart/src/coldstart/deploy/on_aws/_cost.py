"""Cost of a deployment to AWS Lambda a month, at AWS' list prices."""

from __future__ import annotations

import platform

# US East (N. Virginia), in dollars, from aws.amazon.com/lambda/pricing, /ecr/pricing and
# /cloudwatch/pricing, November 2026. Other regions cost up to a third more.
REQUEST = 0.20 / 1e6
GB_SECOND = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
GB_STORED = 0.10  # images, a month
GB_LOGGED = 0.50

# Assumptions. On the share of a core that comes with 1024 MB, two rows took 2 ms and a new instance
# responded after 0.8 s, measured in a container. Lambda has to fetch the image as well.
SECONDS = 0.005  # of a request
START_SECONDS = 3.0  # of a new instance, which are billed as well
STARTS = 0.01  # share of the requests that start an instance
LOGGED = 600 / 1e9  # GB a request; Lambda writes three lines for each
IMAGES = 0.2  # GB, compressed; images share layers
RATE = 10  # requests a second that Lambda sends to an instance at most

MONTH = 30 * 24 * 3600  # seconds
REQUESTS = (0, 10_000, 10_000_000)


def monthly(requests: int, memory: int, architecture: str) -> float:
    """Return the cost of a month in US dollars, without the free tier.

    Parameters
    ----------
    requests : int
        Requests in the month.
    memory : int
        MB of an instance.
    architecture : {'x86_64', 'arm64'}
        Its processor.
    """
    seconds = requests * (SECONDS + STARTS * START_SECONDS)
    computed = seconds * memory / 1024 * GB_SECOND[architecture]
    return requests * (REQUEST + LOGGED * GB_LOGGED) + computed + IMAGES * GB_STORED


def max_monthly(memory: int, throttle: int, architecture: str) -> float:
    """Return the cost of a month in which all instances that may run are busy all the time."""
    computed = throttle * MONTH * memory / 1024 * GB_SECOND[architecture]
    requests = throttle * MONTH * RATE
    return requests * (REQUEST + LOGGED * GB_LOGGED) + computed + IMAGES * GB_STORED


def format_costs(memory: int, throttle: int) -> str:
    """Return costs and assumptions as lines of text."""
    arm = platform.machine().lower() in ("arm64", "aarch64")
    architecture = "arm64" if arm else "x86_64"
    lines = [
        f"{count:>13,} requests a month: {monthly(count, memory, architecture):>9.2f} USD"
        for count in REQUESTS
    ]
    most = max_monthly(memory, throttle, architecture)
    return "\n".join(
        [
            *lines,
            f"at most, with all {throttle} instances busy: {most:>7.2f} USD",
            f"list prices of us-east-1 in November 2026, {memory} MB on {architecture}, without",
            f"the free tier and transfer beyond 100 GB; a request takes {SECONDS * 1000:.0f} ms,",
            f"and one in {1 / STARTS:.0f} starts an instance in {START_SECONDS:.0f} s",
        ]
    )
