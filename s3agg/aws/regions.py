"""The regions of AWS, as the installed botocore lists them."""

from __future__ import annotations

from difflib import SequenceMatcher

import botocore
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from s3agg.errors import UsageProblem

IN_EVERY_REGION = "dynamodb"


def check_region(loader: Loader, name: str) -> None:
    """Raise UsageProblem for a region that is not in botocore's data, which `loader` reads.

    botocore itself accepts every name of the right form, and the first call then fails with a network error.
    A region may be newer than the installed botocore. So the error also names the upgrade. An endpoint on
    loopback makes no difference: the region would be in ARNs.
    """
    known = known_regions(loader)
    if name not in known:
        raise UsageProblem(
            f"There is no region {name}, as far as botocore {botocore.__version__} knows",
            f"The nearest name is {nearest(name, known)}. For a newer region, upgrade botocore first:"
            " pip install --upgrade boto3",
        )


def known_regions(loader: Loader) -> set[str]:
    """Return the regions of all partitions in botocore's data."""
    resolver = EndpointResolver(loader.load_data("endpoints"))
    return {
        region
        for partition in resolver.get_available_partitions()
        for region in resolver.get_available_endpoints(IN_EVERY_REGION, partition)
    }


def nearest(name: str, known: set[str]) -> str:
    """Return the most similar name. Swapped letters are the most frequent mistake, so they come first."""

    def likeness(other: str) -> tuple[bool, float]:
        return sorted(other) == sorted(name), SequenceMatcher(None, name, other).ratio()

    return max(sorted(known), key=likeness)
