"""Sums of scores: kept by triggers of the database (see score_tables.sql), put together by the worker."""

from django.db import connection

from gateway.retention.remove import seeing_expired
from gateway.sql import queries

#: How often rows are put together; until then readers add up some more. Seconds.
PERIOD_S = 300.0
SQL = queries("scores.sql")


def put_together() -> int:
    """Makes one row of those that add up; returns how many rows there were before. Any number of workers may do it at once."""
    with seeing_expired(), connection.cursor() as cursor:
        cursor.execute(SQL["put_together"])
        found: int = cursor.fetchone()[0]
        return found
