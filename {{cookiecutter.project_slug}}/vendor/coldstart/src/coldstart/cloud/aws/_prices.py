"""What a machine costs an hour, by AWS' own price list; unknown where it cannot be asked."""

from __future__ import annotations

import json
from functools import cache

from botocore.exceptions import BotoCoreError, ClientError

from coldstart.cloud.aws._calls import client

LIST = "us-east-1"  # the list of all regions is kept in few


@cache
def per_hour(region: str, kind: str, zone: str, spot: bool) -> float | None:
    """Dollars an hour for a type of instance with Linux, or None.

    Parameters
    ----------
    zone
        Where it runs: spot prices are of a zone, and this is the one now.
    """
    try:
        return spot_price(region, kind, zone) if spot else list_price(region, kind)
    except (BotoCoreError, ClientError, LookupError, ValueError, StopIteration):
        return None


def spot_price(region: str, kind: str, zone: str) -> float:
    """What a zone asks for a spot machine now."""
    answer = client("ec2", region).describe_spot_price_history(
        InstanceTypes=[kind],
        AvailabilityZone=zone,
        ProductDescriptions=["Linux/UNIX"],
        MaxResults=1,
    )
    return float(answer["SpotPriceHistory"][0]["SpotPrice"])


def list_price(region: str, kind: str) -> float:
    """What the price list says."""
    wanted = {
        "instanceType": kind,
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    answer = client("pricing", LIST).get_products(
        ServiceCode="AmazonEC2",
        Filters=[{"Type": "TERM_MATCH", "Field": f, "Value": v} for f, v in wanted.items()],
    )
    terms = json.loads(answer["PriceList"][0])["terms"]["OnDemand"]
    (dimension,) = next(iter(terms.values()))["priceDimensions"].values()
    return float(dimension["pricePerUnit"]["USD"])
