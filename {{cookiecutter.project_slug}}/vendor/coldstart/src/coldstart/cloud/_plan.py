"""The plan of a job: what it runs on, the most that it can cost, and the confirmation."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import NamedTuple

from coldstart.errors import UserError


class Offer(NamedTuple):
    """A type of machine and its price.

    Parameters
    ----------
    machine : str
        Provider and type of the machine.
    price : float or None
        Price in US dollars an hour. None if it is unknown.
    """

    machine: str
    price: float | None


@dataclass(frozen=True)
class Plan:
    """The machines, the limits and the price of a job.

    Parameters
    ----------
    offer : Offer
        The machine that the job gets if one is available.
    nodes : int
        Number of machines.
    hours : float
        Hours after which the job is stopped.
    software : str
        Where the training environment comes from.
    highest_price : float, optional
        Price of the most expensive machine that the job may get instead, in US dollars an hour.
    alternatives : list of Offer, default=[]
        Other suitable machines, the cheapest first.
    warning : str, default=""
        What to know before the job starts.
    needs_confirmation : bool, default=True
        Whether the job costs money.
    """

    offer: Offer
    nodes: int
    hours: float
    software: str
    highest_price: float | None = None
    alternatives: list[Offer] = field(default_factory=list)
    warning: str = ""
    needs_confirmation: bool = True

    @property
    def prices(self) -> list[float]:
        """Known prices of the machines that the job may get, in US dollars an hour."""
        prices = (self.offer.price, self.highest_price)
        return [price for price in prices if price is not None]

    @property
    def max_cost(self) -> float | None:
        """The most that the job can cost in US dollars, or None without a price."""
        return self.nodes * max(self.prices) * self.hours if self.prices else None


def format_plan(plan: Plan) -> str:
    """Return a plan as lines of text."""
    count = f"{plan.nodes} x " if plan.nodes > 1 else ""
    lines = [
        f"  machine     {count}{plan.offer.machine}: {format_price(plan.offer.price)}",
        f"  software    {plan.software}",
        f"  hard stop   after {plan.hours:g} h",
    ]
    if plan.max_cost is not None:
        price = plan.max_cost / plan.nodes / plan.hours
        terms = f"{plan.nodes} x {price:.4f} x {plan.hours:g} h"
        lines.append(f"  at most     {plan.max_cost:.2f} USD ({terms}), without disks and traffic")
    if plan.alternatives:
        other = plan.alternatives[0]
        lines.append(f"  next best   {other.machine}: {format_price(other.price)}")
    if plan.warning:
        lines.append(f"  warning     {plan.warning}")
    return "\n".join(lines)


def format_price(price: float | None) -> str:
    """Return a price an hour as text."""
    return "no price is known" if price is None else f"{price:.4f} USD an hour"


def check_price(plan: Plan) -> None:
    """Refuse a plan with a price that cannot be right.

    Catalogs hold prices of zero where a provider publishes none. With such a price any budget
    would seem to be enough.

    Raises
    ------
    UserError
        If a price is zero or less.
    """
    for offer in (plan.offer, *plan.alternatives, Offer("a machine", plan.highest_price)):
        if offer.price is not None and not offer.price > 0:
            raise UserError(
                f"{offer.machine} would cost {offer.price:.2f} USD an hour, which cannot be right: "
                "choose another machine (GPU=..., SPOT=no) or another provider (ON=...)"
            )


def confirm_plan(plan: Plan, budget: float | None, yes: bool) -> None:
    """Compare a plan with the budget, and ask before money is spent.

    Parameters
    ----------
    plan : Plan
        The plan.
    budget : float, optional
        The most that the job may cost, in US dollars.
    yes : bool
        Whether it was confirmed before.

    Raises
    ------
    UserError
        If the job may cost more than the budget, or the answer is not yes.
    """
    if budget is not None and plan.max_cost is None:
        raise UserError("BUDGET=... needs a price: PRICE=... says what the machine costs an hour")
    if budget is not None and plan.max_cost is not None and plan.max_cost > budget:
        raise UserError(
            f"the job may cost {plan.max_cost:.2f} USD, and the budget is {budget:g} USD: "
            f"{advise_hours(plan, budget)}a cheaper machine (GPU=..., SPOT=yes)"
        )
    if yes or not plan.needs_confirmation:
        return
    if not sys.stdin.isatty():
        raise UserError("the job costs money, and there is no terminal to ask in: YES=1 confirms")
    machines = f"{plan.nodes} machines" if plan.nodes > 1 else "a machine"
    cost = "at an unknown price" if plan.max_cost is None else f"for up to {plan.max_cost:.2f} USD"
    if not confirm(f"Start {machines} {cost}?"):
        raise UserError("nothing was started")


def advise_hours(plan: Plan, budget: float) -> str:
    """Return the advice how many hours fit a budget, or nothing if it is less than 0.01.

    They are rounded down, so that a job with these hours passes the check of the budget.
    """
    price = plan.nodes * max(plan.prices)
    hundredths = math.floor(budget / price * 100)
    if price * (hundredths / 100) > budget:  # the quotient was rounded up to a whole one
        hundredths -= 1
    hours = f"{hundredths / 100:.2f}".rstrip("0").rstrip(".")
    return f"HOURS={hours} fits, or " if hundredths > 0 else ""


def confirm(question: str, yes: bool = False) -> bool:
    """Ask a question in the terminal.

    Parameters
    ----------
    question : str
        Names the action and its cost.
    yes : bool, default=False
        Whether it was confirmed before.

    Returns
    -------
    bool
        Whether the answer is yes. Without a terminal it is no.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        print(f"{question} There is no terminal to ask in: YES=1 confirms")
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
