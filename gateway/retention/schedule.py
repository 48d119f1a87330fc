"""When partitions go: arithmetic on times, without the database."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

#: Drop the whole partition, delete some of its rows, or leave it.
Fate = Literal["drop", "delete", "keep"]


def fate(start: datetime, end: datetime, now: datetime, keep_days: Mapping[str, int]) -> Fate:
    """What becomes of a partition of rows made from `start` until before `end`, by the days that each feature's are kept.

    `keep_days` has '' for every feature that it does not name. Without it nothing of these is ever removed.
    """
    if not keep_days or now < starts_at(start, keep_days):
        return "keep"
    return "drop" if "" in keep_days and now >= ends_at(end, keep_days) else "delete"


def starts_at(start: datetime, keep_days: Mapping[str, int]) -> datetime:
    """When the first row of the partition can expire."""
    return start + timedelta(days=min(keep_days.values()))


def ends_at(end: datetime, keep_days: Mapping[str, int]) -> datetime:
    """When the last row of the partition has expired, whatever its feature."""
    return end + timedelta(days=max(keep_days.values()))


def shorter(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    """By feature, the shorter of two times: a payload goes with its call at the latest."""
    longest = 36_500
    return {
        feature: min(kept.get(feature, kept.get("", longest)) for kept in (first, second))
        for feature in {*first, *second}
    }
