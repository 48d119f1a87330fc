"""A limit is a limit: across processes, kills and broken connections."""

import os
import signal
import threading
import time

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections

from budgets.models import Bucket, RateLimit
from budgets.rates import PARTS
from gateway.models import Call, Hold
from tests.gateway.ledger.test_overspend import _sweep, left_by_the_dead, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class Sampler:
    """Looks at the buckets and holds all the time, over a connection of its own, and keeps what it may not see."""

    def __init__(self) -> None:
        self.samples = 0
        self.broken: list[tuple] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.is_set():
            with connection.cursor() as cursor:
                # One statement, so that both are of one moment.
                cursor.execute(
                    "SELECT b.requests_level, b.tokens_level, b.in_flight, "
                    "(SELECT count(*) FROM tollhouse_hold h WHERE b.id = ANY (h.buckets)), "
                    "l.requests_per_minute, l.tokens_per_minute, l.burst_s, l.concurrent "
                    "FROM tollhouse_bucket b JOIN tollhouse_rate_limit l ON l.id = b.rate_limit_id"
                )
                for requests, tokens, in_flight, held, rpm, tpm, burst_s, concurrent in cursor.fetchall():
                    self.samples += 1
                    full = [r * burst_s * PARTS // 60 for r in (rpm, tpm)]
                    levels = [f if level is None else level for level, f in zip((requests, tokens), full, strict=True)]
                    if not (
                        0 <= levels[0] <= full[0] and 0 <= levels[1] <= full[1] and in_flight == held <= concurrent
                    ):
                        self.broken.append((requests, tokens, in_flight, held))
        connections.close_all()


def limit(**values) -> RateLimit:
    return RateLimit.objects.create(
        **{"feature": "f", "requests_per_minute": 600, "tokens_per_minute": 100_000, "concurrent": 8, "burst_s": 6}
        | values
    )


def now():
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def admitted() -> int:
    return Call.objects.exclude(outcome="refused_budget").exclude(outcome="ledger_unavailable").count()


def test_four_processes_let_through_what_the_limit_says_and_no_call_more(spender):
    limit(concurrent=64)
    began = now()
    with Sampler() as sampler:
        processes = [spender(seed, 600) for seed in range(4)]
        for process in processes:
            assert process.wait(60) == 0
    elapsed_s = (now() - began).total_seconds()
    assert sampler.samples > 20 and sampler.broken == []
    assert Call.objects.count() == 2400 and Hold.objects.count() == 0
    assert 60 < admitted() <= 60 + 10 * elapsed_s
    assert Bucket.objects.get().in_flight == 0


def test_exactly_the_burst_passes_when_next_to_nothing_comes_in(spender):
    limit(requests_per_minute=1, burst_s=3000, concurrent=64, tokens_per_minute=10**9)
    for process in [spender(seed, 100) for seed in range(4)]:
        assert process.wait(60) == 0
    assert admitted() == 50 and Bucket.objects.get().requests_level < PARTS


def test_killed_processes_leave_their_places_to_others_once_they_are_swept(spender):
    limit(requests_per_minute=10**6, tokens_per_minute=10**9)
    with Sampler() as sampler:
        processes = [spender(seed, 100_000) for seed in range(2)] + [spender(seed, 300) for seed in (2, 3)]
        wait_until(lambda: admitted() > 100)
        for process in processes[:2]:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        for process in processes[2:]:
            assert process.wait(60) == 0
        killed = left_by_the_dead()
        assert sum(Bucket.objects.values_list("in_flight", flat=True)) == Hold.objects.count()
        async_to_sync(_sweep)()
    assert sampler.samples > 20 and sampler.broken == []
    assert Call.objects.filter(outcome="lost").count() == killed
    assert Bucket.objects.get().in_flight == 0


def test_broken_connections_take_nothing_twice_and_free_every_place(spender):
    # 1,200 at once, and next to none after that.
    limit(requests_per_minute=20, burst_s=3600, concurrent=16, tokens_per_minute=10**9)
    began, process = now(), spender(7, 600)
    with Sampler() as sampler:
        breaks = 0
        while process.poll() is None:
            time.sleep(0.1)
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE application_name = 'tollhouse' AND datname = current_database() AND usename = current_user"
                )
                breaks += cursor.fetchone()[0]
    assert process.returncode == 0 and breaks > 3 and sampler.broken == []
    bucket = Bucket.objects.get()
    taken = 1200 - bucket.requests_level / PARTS
    came_in = 20 * (now() - began).total_seconds() / 60
    assert (bucket.in_flight, Hold.objects.count()) == (0, 0)
    assert admitted() - came_in <= taken <= admitted()
