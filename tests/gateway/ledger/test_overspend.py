"""A cap is a cap, and no call is lost: under concurrency, crashes and broken connections."""

import asyncio
import os
import signal
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budgets.models import Budget, Window
from gateway.ledger import Grant
from gateway.models import Adjustment, Call, Hold
from tests.gateway.ledger.calls import a_writer, hold_of, settle_of
from tests.gateway.ledger.stored import until

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[3]


class Sampler:
    """Looks at the windows all the time, over a connection of its own, and keeps the worst it saw."""

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
            for window in Window.objects.select_related("budget"):
                self.samples += 1
                if window.spent + window.held > window.budget.limit:
                    self.broken.append((str(window), window.spent, window.held))
        connections.close_all()


def sums_agree() -> None:
    """What the windows say is what the rows say, to the nano-dollar."""
    spent = Call.objects.aggregate(total=Sum("cost_usd"))["total"] or Decimal(0)
    spent += Adjustment.objects.aggregate(total=Sum("cost_usd"))["total"] or Decimal(0)
    tokens = sum(call.total_tokens for call in Call.objects.exclude(outcome__startswith="refused"))
    tokens += Adjustment.objects.aggregate(total=Sum("tokens"))["total"] or 0
    for window in Window.objects.select_related("budget"):
        assert window.held == 0
        if window.budget.metric == "usd":
            assert window.spent == spent
        elif window.budget.metric == "tokens":
            assert window.spent == tokens


def budgets(limit) -> None:
    Budget.objects.create(feature="f", limit=limit)
    Budget.objects.create(limit=limit * 2, period="month")
    Budget.objects.create(feature="f", metric="tokens", limit=10**9, period="hour")


amounts = st.decimals(min_value=0, max_value=2, places=9)
steps = st.lists(st.tuples(st.integers(0, 1), amounts, st.floats(0, 1), st.sampled_from("scl")), max_size=25)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(limit=st.decimals(min_value=0, max_value=5, places=9), calls=steps)
def test_any_calls_of_two_processes_stay_within_any_limit(transactional_db, limit, calls):
    """Each call is settled at once, cancelled without a settlement (its owner dies), or settled late."""
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE tollhouse_budget, tollhouse_window, tollhouse_hold, tollhouse_call, tollhouse_adjustment CASCADE"
        )
    budgets(limit)
    async_to_sync(_play)(calls)
    window = Window.objects.filter(budget__feature="f", budget__metric="usd").first()
    if window:
        assert window.spent + window.held <= limit
    sums_agree()


async def _play(calls) -> None:
    late = []
    async with a_writer() as first, a_writer() as second:

        async def one(writer, most, fraction, fate):
            hold = hold_of(most)
            grant = await writer.hold(hold)
            cost = (most * Decimal(fraction)).quantize(Decimal("1e-9"))
            if not isinstance(grant, Grant):
                await writer.settle(settle_of(hold, None, 0, tokens=0, outcome="refused_budget"))
            elif fate == "s":
                await writer.settle(settle_of(hold, grant, cost))
            else:
                late.append((writer, settle_of(hold, grant, cost)) if fate == "l" else None)

        await asyncio.gather(*(one((first, second)[w], most, fraction, fate) for w, most, fraction, fate in calls))
    # Both are gone; whatever they still held is lost, and some of them come back to settle it.
    await asyncio.to_thread(expire_everything)
    async with a_writer(OWNER_HEARTBEAT_S=0.01):
        await until(lambda: not Hold.objects.exists())
    async with a_writer() as writer:
        for _, settle in filter(None, late):
            await writer.settle(settle)


def expire_everything() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tollhouse_hold SET expires_at = '2020-01-01'")
    connection.close()


def test_four_processes_never_pass_the_limit_and_two_killed_ones_leave_lost_rows(spender):
    budgets(Decimal("3"))
    with Sampler() as sampler:
        processes = [spender(seed, 100_000) for seed in range(2)] + [spender(seed, 300) for seed in (2, 3)]
        wait_until(lambda: Call.objects.count() > 200)
        for process in processes[:2]:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        for process in processes[2:]:
            assert process.wait(60) == 0
        killed = left_by_the_dead()
        async_to_sync(_sweep)()
    assert sampler.samples > 20 and sampler.broken == []
    assert Call.objects.filter(outcome="lost").count() == killed
    sums_agree()


def left_by_the_dead() -> int:
    """Holds, and those that somebody has swept already; in one statement, as any living writer sweeps at any time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM tollhouse_hold) + (SELECT count(*) FROM tollhouse_call WHERE outcome = 'lost')"
        )
        return cursor.fetchone()[0]


async def _sweep() -> None:
    await asyncio.to_thread(expire_everything)
    async with a_writer(OWNER_HEARTBEAT_S=0.05):
        await until(lambda: not Hold.objects.exists())


def test_broken_connections_lose_nothing_and_count_nothing_twice(spender):
    budgets(Decimal("1000"))
    process = spender(7, 600)
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
    assert Call.objects.count() == 600
    assert Hold.objects.count() == 0
    sums_agree()


def wait_until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
