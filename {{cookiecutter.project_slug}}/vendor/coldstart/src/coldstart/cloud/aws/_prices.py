"""Prices of instances, from AWS' own price list."""

from __future__ import annotations

import json
from functools import cache

from botocore.exceptions import BotoCoreError, ClientError

from coldstart._aws import client

PRICE_LIST_REGION = "us-east-1"  # few regions have the price list, which is of all regions


@cache
def price_per_hour(region: str, kind: str, zone: str, spot: bool) -> float | None:
    """Return the price of a type of instance with Linux.

    Parameters
    ----------
    region : str
        AWS region.
    kind : str
        Type of instance, such as ``g6.xlarge``.
    zone : str
        Availability zone. Spot prices differ between zones.
    spot : bool
        Whether it is a spot instance.

    Returns
    -------
    float or None
        US dollars an hour, at present; None if the price list could not be read.
    """
    try:
        return spot_price(region, kind, zone) if spot else list_price(region, kind)
    except (BotoCoreError, ClientError, LookupError, ValueError, StopIteration):
        return None


def spot_price(region: str, kind: str, zone: str) -> float:
    """Return the present price of a spot instance in a zone."""
    answer = client("ec2", region).describe_spot_price_history(
        InstanceTypes=[kind],
        AvailabilityZone=zone,
        ProductDescriptions=["Linux/UNIX"],
        MaxResults=1,
    )
    return float(answer["SpotPriceHistory"][0]["SpotPrice"])


def list_price(region: str, kind: str) -> float:
    """Return the on-demand price from the price list."""
    wanted = {
        "instanceType": kind,
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    answer = client("pricing", PRICE_LIST_REGION).get_products(
        ServiceCode="AmazonEC2",
        Filters=[{"Type": "TERM_MATCH", "Field": f, "Value": v} for f, v in wanted.items()],
    )
    terms = json.loads(answer["PriceList"][0])["terms"]["OnDemand"]
    (dimension,) = next(iter(terms.values()))["priceDimensions"].values()
    return float(dimension["pricePerUnit"]["USD"])
