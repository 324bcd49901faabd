"""What the machines cost, by SkyPilot's catalogue of prices."""

from __future__ import annotations

from typing import Any

MONTH = 30 * 24  # hours


def table(planned: dict[str, Any]) -> str:
    """Tell it for as few and for as many replicas as there may be.

    Parameters
    ----------
    planned
        See `plan` in service.py.
    """
    least, most = planned["least"], planned["most"]
    replica, controller = planned["replica"], planned["controller"]
    each = f"{replica['what']}: {dollars(replica['price'])}"
    lines = [f"  replicas    {least} to {most}, each {each}"]
    if controller:
        what = f"{controller['what']}: {dollars(controller['price'])}"
        lines.append(f"  controller  {what}; all services share it")
    if replica["price"] is None:
        return "\n".join(lines)
    base = (controller and controller["price"]) or 0.0
    low, high = (base + count * replica["price"] for count in (least, most))
    return "\n".join(
        [
            *lines,
            f"  in all      {low:.2f} to {high:.2f} USD an hour, {low * MONTH:.0f} to "
            f"{high * MONTH:.0f} a month, as long as it is there",
            "by SkyPilot's catalogue, without disks, traffic, and the replicas that overlap while "
            "they go over",
        ]
    )


def dollars(price: float | None) -> str:
    """Tell a price an hour."""
    return "no price" if price is None else f"{price:.4f} USD an hour"
