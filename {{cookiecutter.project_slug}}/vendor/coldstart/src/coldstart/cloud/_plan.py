"""The price before anything starts: what will run where, and the most that it can cost."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import NamedTuple

from coldstart.errors import UserError


class Offer(NamedTuple):
    """A machine that would do, and what one costs in dollars an hour; None if nobody knows."""

    what: str
    price: float | None


@dataclass(frozen=True)
class Plan:
    """What a job will take.

    Attributes
    ----------
    machine
        The one that it will get if it is to be had.
    nodes
        How many of them.
    hours
        After which it is stopped, whatever it is doing.
    highest
        Dollars an hour of the dearest machine that it may get instead.
    others
        What else would do, the cheapest first.
    image
        Where the training image comes from.
    asks
        Whether it costs something that a person should agree to.
    """

    machine: Offer
    nodes: int
    hours: float
    image: str
    highest: float | None = None
    others: list[Offer] = field(default_factory=list)
    asks: bool = True

    @property
    def most(self) -> float | None:
        """The most that it can cost, in dollars."""
        prices = [price for price in (self.machine.price, self.highest) if price is not None]
        return self.nodes * max(prices) * self.hours if prices else None


def tell(plan: Plan) -> str:
    """Tell a plan in a few lines."""
    count = f"{plan.nodes} x " if plan.nodes > 1 else ""
    lines = [
        f"  machine     {count}{plan.machine.what}: {dollars(plan.machine.price)}",
        f"  image       {plan.image}",
        f"  hard stop   after {plan.hours:g} h",
    ]
    if plan.most is not None:
        made_of = f"{plan.nodes} x {plan.most / plan.nodes / plan.hours:.4f} x {plan.hours:g} h"
        lines.append(f"  at most     {plan.most:.2f} USD ({made_of}), without disks and traffic")
    if plan.others:
        other = plan.others[0]
        lines.append(f"  next best   {other.what}: {dollars(other.price)}")
    return "\n".join(lines)


def dollars(price: float | None) -> str:
    """Tell a price an hour."""
    return "no price is known" if price is None else f"{price:.4f} USD an hour"


def agree(plan: Plan, budget: float | None, yes: bool) -> None:
    """Hold a plan against the budget, and ask before money is spent.

    Raises
    ------
    UserError
        If it may cost more, or the answer is not yes.
    """
    if budget is not None and plan.most is None:
        raise UserError("BUDGET=... needs a price: PRICE=... says what the machine costs an hour")
    if budget is not None and plan.most is not None and plan.most > budget:
        hours = budget / (plan.most / plan.hours)
        raise UserError(
            f"it may cost {plan.most:.2f} USD, and the budget is {budget:g}: HOURS={hours:.2g} "
            "fits, or a cheaper machine (GPU=..., SPOT=yes)"
        )
    if yes or not plan.asks:
        return
    if not sys.stdin.isatty():
        raise UserError("machines cost money as long as they are there: YES=1 says yes to it")
    if input("go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UserError("nothing was started")
