"""One worker and two, where requests are work enough for wrk not to be in the way."""

from __future__ import annotations

from functools import partial

from load import Case
from servers import EMPTY, THIS, Bench, Server, empty, this_api
from serving import Serving, measure_serving

CASES = (Case(1, 64), Case(32, 64))
ONE = Server(f"{THIS.name}, 1 worker", this_api, cases=CASES)
TWO = Server(f"{THIS.name}, 2 workers", partial(this_api, workers=2), cases=CASES)
EMPTY_ONE = Server(f"{EMPTY.name}, 1 worker", empty, cases=CASES, probabilities=None)
EMPTY_TWO = Server(
    f"{EMPTY.name}, 2 workers", partial(empty, workers=2), cases=CASES, probabilities=None
)
PAIRS = [(ONE, TWO), (EMPTY_ONE, EMPTY_TWO)]


def measure_workers(bench: Bench, rounds: int, seconds: int) -> dict[str, Serving]:
    """Measure this API and the empty one, each with one worker and with two, in turns."""
    servers = [server for pair in PAIRS for server in pair]
    return measure_serving(bench, servers, rounds, seconds, 1)


def full(found: Serving, case: Case, cores: int) -> float:
    """Requests a second if all cores did nothing but answer, and ask, at what each costs."""
    return cores * 1e6 / (found.median(case, "cpu") + found.median(case, "client"))
