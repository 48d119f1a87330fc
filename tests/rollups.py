"""Counting into the rollups, in tests."""

import time

from django.db import connection

from dashboards.models import RollupState
from dashboards.rollups import job

#: Tests beside this one have transactions of their own, behind which nothing is counted; none takes so long. Seconds.
LONGEST = 60.0


def count() -> None:
    """Does the worker's job until all that is committed now is counted, whatever other tests write at the same time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT txid_current()")
        [now] = cursor.fetchone()
    end = time.monotonic() + LONGEST
    while True:
        job.count()
        state = RollupState.objects.get()
        if state.built and state.watermark - state.offset > now:
            return
        assert time.monotonic() < end, "A transaction has run all the time."
        time.sleep(0.02)
