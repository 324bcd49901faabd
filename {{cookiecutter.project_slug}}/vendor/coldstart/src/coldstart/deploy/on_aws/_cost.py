"""Cost of a deployment to AWS Lambda a month, at AWS' list prices."""

from __future__ import annotations

# US East (N. Virginia), in dollars, from aws.amazon.com/lambda/pricing, /ecr/pricing,
# /cloudwatch/pricing and /ec2/pricing/on-demand (data transfer out), November 2026.
REQUEST = 0.20 / 1e6
GB_SECOND = 0.0000166667  # of x86_64; arm64 costs a fifth less
GB_STORED = 0.10  # images, a month
GB_LOGGED = 0.50
GB_KEPT = 0.03  # of a log, a month
GB_SENT = 0.09  # to the internet; less from 10 TB a month on

# Assumptions. On the share of a core that comes with 1024 MB, two rows took 2 ms and a new instance
# responded after 0.8 s, measured in a container. Lambda has to fetch the image as well.
SECONDS = 0.005  # of a request
START_SECONDS = 3.0  # of a new instance, which are billed as well
STARTS = 0.01  # share of the requests that start an instance
LOGGED = 600 / 1e9  # GB a request; Lambda writes three lines for each
IMAGES = 0.2  # GB, compressed; images share layers
RATE = 10  # requests a second that Lambda sends to an instance at most

# Bytes of a response. The handler limits the first, of a public API; Lambda the second. Without a
# key a refusal is sent: headers, of which Lambda adds some, and a line.
PUBLIC_BYTES, MAX_BYTES, REFUSAL_BYTES = 65_536, 6_291_556, 1_024

DAYS = 30
REQUESTS = (0, 10_000, 10_000_000)


def monthly(requests: int, memory: int) -> float:
    """Return the cost of a month in US dollars, without the free tier, for MB of memory."""
    seconds = requests * (SECONDS + STARTS * START_SECONDS)
    computed = seconds * memory / 1024 * GB_SECOND
    return requests * (REQUEST + LOGGED * GB_LOGGED) + computed + IMAGES * GB_STORED


def bound(
    memory: int, throttle: int, keep: int, log_days: int, public: bool
) -> dict[str, tuple[str, float]]:
    """Return what others can cause in a month, with all instances busy all the time.

    For each kind of cost how it is computed, and US dollars, to the cent. The memory is in MB.
    """
    seconds = throttle * DAYS * 24 * 3600
    requests, size = seconds * RATE, memory / 1024
    second = size * GB_SECOND
    logged, kept = requests * LOGGED, GB_KEPT * max(1, log_days / DAYS)
    sent = requests * response_bytes(public) / 1e9
    images = keep * IMAGES
    found = {
        "requests": (f"{requests:,} x {REQUEST * 1e6:.2f} a million", requests * REQUEST),
        "compute": (f"{seconds:,} s x {size:.3f} GB x {GB_SECOND:.10f}", seconds * second),
        "log": (f"{logged:,.1f} GB x ({GB_LOGGED:.2f} + {kept:.3f})", logged * (GB_LOGGED + kept)),
        "egress": (f"{sent:,.1f} GB x {GB_SENT:.2f}", sent * GB_SENT),
        "images": (f"{images:.1f} GB x {GB_STORED:.2f}", images * GB_STORED),
    }
    return {name: (how, round(dollars, 2)) for name, (how, dollars) in found.items()}


def response_bytes(public: bool) -> int:
    """Return how much is sent, at most, to a request without a key."""
    return REFUSAL_BYTES + (PUBLIC_BYTES if public else 0)


def total(memory: int, throttle: int, keep: int, log_days: int, public: bool) -> float:
    """Return the sum of what others can cause in a month, in US dollars."""
    return sum(dollars for _, dollars in bound(memory, throttle, keep, log_days, public).values())


def format_costs(memory: int, throttle: int, keep: int, log_days: int, public: bool) -> str:
    """Return costs and assumptions as lines of text."""
    lines = [
        f"{count:>13,} requests a month: {monthly(count, memory):>9.2f} USD" for count in REQUESTS
    ]
    parts, size = bound(memory, throttle, keep, log_days, public), response_bytes(public)
    most = total(memory, throttle, keep, log_days, public)
    whom = "anyone" if public else "anyone without a key"
    more = f"A key allows {MAX_BYTES:,} bytes a response: give it to people you trust."
    if public:
        more = "In infra/deploy/aws.yaml, `throttle: 1` divides it by the number of instances."
    return "\n".join(
        [
            *lines,
            f"The most that {whom} can make you pay in {DAYS} days, with all {throttle}",
            f"instances busy, {RATE} requests a second each, {size:,} bytes a response:",
            *(f"  {name:9}{how:<52}{cost:>12,.2f}" for name, (how, cost) in parts.items()),
            f"  {'sum, USD':61}{most:>12,.2f}",
            more,
            f"List prices of us-east-1 in November 2026 without the free tier, {memory} MB on",
            "x86_64; other regions cost up to twice as much. From aws.amazon.com:",
            "/lambda/pricing, /ecr/pricing, /cloudwatch/pricing, /ec2/pricing/on-demand.",
            f"A request takes {SECONDS * 1000:.0f} ms; one in {1 / STARTS:.0f} starts an instance "
            f"in {START_SECONDS:.0f} s.",
        ]
    )
