"""`manage.py worker`: the jobs that no call waits for."""

import logging
import signal
import threading
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.db.models.functions import Now
from django.utils import timezone

from budgets.models import Alert
from gateway.conf import settings
from gateway.ledger import partitions
from gateway.ledger.buckets import forget_idle
from gateway.models import CachedReply

logger = logging.getLogger("tollhouse.worker")

#: How often the worker looks whether there is something to do, in seconds.
PERIOD_S = 60.0


class Command(BaseCommand):
    help = (
        "Run the periodic jobs: partitions made ahead, with an alarm when they run short, cached replies forgotten in time, "
        "and buckets of rate limits forgotten that are full again. "
        "Any number of workers may run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="Do what is due, then end.")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        while True:
            try:
                keep_partitions()
                forget_expired()
                forget_idle()
            except DatabaseError as error:
                logger.warning("worker: database away, trying again: %s", type(error).__name__)
            finally:
                connection.close()
            if once or stopped.wait(PERIOD_S):
                return


def forget_expired() -> None:
    """Deletes cached replies whose time is over."""
    CachedReply.objects.filter(expires_at__lte=Now()).delete()


def keep_partitions() -> None:
    """Makes partitions ahead; where that fails and the last one is near, an alert says so, once for each last one."""
    days = settings().PARTITIONS_AHEAD_DAYS
    try:
        made, until = partitions.make_ahead(days)
        if made:
            logger.info("worker: %d partitions made, until %s", made, f"{until:%Y-%m-%d}")
    finally:
        until = partitions.covered_until()
        if until < timezone.now() + timedelta(days=min(2, days)):
            Alert.objects.get_or_create(
                dedup_key=f"partitions:{until:%Y-%m-%d}",
                defaults={
                    "kind": "partitions_short",
                    "severity": Alert.Severity.CRITICAL,
                    "summary": f"Partitions of calls and payloads end on {until:%Y-%m-%d}: see the log of `manage.py worker`.",
                },
            )
