"""`manage.py worker`: the jobs that no call waits for."""

import logging
import signal
import threading
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db import Error, connection
from django.db.models.functions import Now
from django.utils import timezone

from budgets.forecasting import forecast_windows
from budgets.models import Alert
from gateway import alerting
from gateway.conf import settings
from gateway.explorer import background
from gateway.jobs import retention, sessions, switches
from gateway.jobs.registry import REGISTERED, Job
from gateway.ledger import partitions
from gateway.ledger.buckets import forget_idle
from gateway.ledger.replay import replay_spools
from gateway.models import CachedReply
from gateway.telemetry import gauges, own
from gateway.worker_beat import beat

logger = logging.getLogger("tollhouse.worker")

#: How long a worker that is told to stop waits for what its jobs are at, in seconds.
STOP_S = 20.0


class Command(BaseCommand):
    help = (
        "Run the periodic jobs: alerts delivered, switches lifted in time and set by rule, forecasts of what budgets come to, "
        "spooled calls replayed, partitions made ahead, with an alarm when they run short, cached replies forgotten in time, "
        "buckets of rate limits that are full again, exports of calls made, expired rows removed, the audit log's head "
        "logged, and those of other apps, such as the rollups of the dashboards. Any number of workers may run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="Do what is due, then end.")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            for job in (*JOBS, *REGISTERED):
                _run(job)
            return
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        own.start("worker")
        gauges.export(gauges.OF_PRODUCT, gauges.of_product)
        # A thread for each, so that none waits for another's slow work. They are daemons: one that does not stop in time
        # is left to die with the process, and whatever it was at is done again by the next worker.
        threads = [
            threading.Thread(target=_repeat, args=(job, stopped), name=job.name, daemon=True)
            for job in (*JOBS, *REGISTERED)
        ]
        for thread in threads:
            thread.start()
        stopped.wait()
        for thread in threads:
            thread.join(STOP_S)
        own.stop()


def _repeat(job: Job, stopped: threading.Event) -> None:
    while True:
        _run(job)
        # Or each thread would keep a session of the database for the little that it does.
        connection.close()
        if stopped.wait(job.period_s):
            return


def _run(job: Job) -> None:
    try:
        job.run()
    except Error as error:
        logger.warning("worker: %s: database away, trying again: %s", job.name, type(error).__name__)
        connection.close()
    except Exception:
        logger.exception("worker: %s failed and is tried again", job.name)
        connection.close()


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


#: What a worker does. In the order in which `--once` does it: partitions early, as everything else needs somewhere to write.
JOBS = (
    Job("beat", 60.0, beat),
    Job("partitions", 60.0, keep_partitions),
    Job("cache", 60.0, forget_expired),
    Job("alerts", 1.0, alerting.deliver),
    Job("switches", 15.0, switches.mark_lifted),
    Job("switch rules", 20.0, switches.fire_rules),
    Job("spools", 60.0, replay_spools),
    Job("forecasts", 60.0, forecast_windows),
    Job("buckets", 60.0, forget_idle),
    Job("sessions", 60.0, sessions.forget_sessions),
    Job("exports", 2.0, background.make_waiting),
    Job("retention", 300.0, retention.remove_expired),
    Job("audit", 3600.0, retention.note_head),
)
