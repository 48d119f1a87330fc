"""Clocks that are wrong, or jump: rows and windows go by the database's."""

import asyncio
from contextlib import asynccontextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from budgets.models import Alert, Budget, Window
from gateway.clock import Clock
from gateway.conf import settings
from gateway.ledger import Grant, Writer
from gateway.ledger.database import connection_parameters
from gateway.models import Call, Hold
from gateway.models.calls import uuid7_time
from tests.gateway.ledger.calls import a_writer, hold_of, settle_of


class Hands:
    """A clock's wall and counter, as a test sets them; seconds."""

    def __init__(self):
        self.wall, self.count = 1_800_000_000.0, 500.0

    def go_on(self, seconds):
        self.wall += seconds
        self.count += seconds


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def clock(hands):
    return Clock(wall=lambda: hands.wall, count=lambda: hands.count)


def at(seconds):
    return datetime.fromtimestamp(seconds, UTC)


def test_before_it_was_told_it_is_the_processs_own(clock, hands):
    assert clock.now_s() == hands.wall and clock.skew_s == 0
    hands.wall += 1000
    assert clock.now_s() == hands.wall


@pytest.mark.parametrize("jump", [-7200, 7200, 86_400])
def test_a_process_whose_clock_jumps_makes_ids_of_the_right_time(clock, hands, jump):
    clock.told(at(hands.wall), hands.count)
    then = hands.wall
    hands.go_on(60)
    hands.wall += jump
    assert clock.now_s() == then + 60 and clock.skew_s == jump
    made = [clock.new_id() for _ in range(3)]
    assert {uuid7_time(id).timestamp() for id in made} == {then + 60}
    assert len(set(made)) == 3


def test_ids_of_a_clock_that_is_right_are_in_order(hands):
    clock = Clock()
    clock.told(timezone.now(), clock._count())
    ids = [clock.new_id() for _ in range(1000)]
    assert ids == sorted(ids)


def test_a_jump_of_the_database_is_told(clock, hands):
    assert clock.told(at(hands.wall), hands.count) == 0
    hands.go_on(5)
    assert clock.told(at(hands.wall), hands.count) == pytest.approx(0)
    hands.go_on(5)
    assert clock.told(at(hands.wall + 3600), hands.count) == pytest.approx(3600)
    assert clock.skew_s == pytest.approx(-3600)


def test_an_answer_that_was_long_under_way_tells_nothing(clock, hands):
    clock.told(at(hands.wall), hands.count)
    asked = hands.count
    hands.go_on(60)
    assert clock.told(at(hands.wall - 55), asked) == 0 and clock.skew_s == 0


@pytest.fixture
def skewed(transactional_db):
    """A database whose clock a test can set: functions before PostgreSQL's own, for sessions that ask for them."""

    def ahead(by):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE skew.ahead SET by = %s", [by])

    with connection.cursor() as cursor:
        cursor.execute("""
            CREATE SCHEMA skew;
            CREATE TABLE skew.ahead AS SELECT interval '0' AS by;
            CREATE FUNCTION skew.now() RETURNS timestamptz LANGUAGE sql STABLE
                AS 'SELECT pg_catalog.now() + by FROM skew.ahead';
            CREATE FUNCTION skew.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
                AS 'SELECT pg_catalog.clock_timestamp() + by FROM skew.ahead';
        """)
    yield ahead
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA skew CASCADE")


@asynccontextmanager
async def a_skewed_writer(clock, **options):
    conf = copy(settings())
    for name, value in {"OWNER_HEARTBEAT_S": 0.05, **options}.items():
        setattr(conf, name, value)
    writer = Writer(connection_parameters() | {"options": "-c search_path=skew,pg_catalog,public"}, conf, clock)
    try:
        yield writer
    finally:
        await writer.stop()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def until_swept(left):
    async with asyncio.timeout(20):
        while await Hold.objects.acount() > left:
            await asyncio.sleep(0.02)


async def a_call(ledger, clock):
    hold = hold_of("0.1", call_id=clock.new_id())
    grant = await ledger.hold(hold)
    assert isinstance(grant, Grant)
    await ledger.settle(settle_of(hold, grant, "0.1"))
    return hold.call_id


@pytest.mark.parametrize("hours", [-40, 40])
async def test_rows_and_windows_of_a_process_whose_clock_is_wrong_are_of_the_same_day(skewed, hours):
    """Seen from here the database's clock is the one that is off; it is the one that counts."""
    await sync_to_async(skewed)(timedelta(hours=hours))
    await Budget.objects.acreate(feature="f", limit=1)
    clock = Clock()
    async with a_skewed_writer(clock) as ledger:
        await until(lambda: clock.skew_s)
        call_id = await a_call(ledger, clock)
        state = ledger.state()
    window = await Window.objects.aget()
    assert window.starts_at <= uuid7_time(call_id) < window.ends_at and window.spent == Decimal("0.1")
    assert abs(uuid7_time(call_id) - timezone.now() - timedelta(hours=hours)) < timedelta(minutes=1)
    assert await Call.objects.aget(id=call_id)
    assert state["clock_skew_s"] == pytest.approx(-3600 * hours, abs=60)
    assert "differs from the database's" in state["warnings"][0]
    assert (await Alert.objects.aget(kind="clock_skew")).severity == "warning"


async def test_a_clock_that_is_right_is_told_of_nowhere(transactional_db):
    async with a_writer(OWNER_HEARTBEAT_S=0.05) as ledger:
        await until(lambda: "clock_skew_s" in ledger.state())
        await asyncio.sleep(0.2)
        assert not any("clock" in warning for warning in ledger.state()["warnings"])
    assert not await Alert.objects.aexists()


@pytest.mark.parametrize("hours", [-5, 5])
async def test_when_the_databases_clock_jumps_living_owners_lose_nothing(skewed, hours):
    clock = Clock()
    # Long enough that a busy machine's heartbeat is not late by as much.
    options = {"OWNER_DEAD_AFTER_S": 3.0}
    async with a_skewed_writer(clock, **options) as ledger, a_skewed_writer(Clock(), **options) as other:
        hold = hold_of("0.1", call_id=clock.new_id())
        hold.lifetime_s = 10**6
        grant = await ledger.hold(hold)
        await other.hold(hold_of("0.1", feature="g"))
        await until(lambda: clock.now_s() and "clock_skew_s" in ledger.state())
        await sync_to_async(skewed)(timedelta(hours=hours))
        await until(lambda: abs(clock.skew_s) > 3600)
        if hours > 0:
            # The other's hold has outlived its lifetime; ours, of the longer one, is the only one left.
            await until_swept(1)
        else:
            # Both have beaten since, and swept again.
            await asyncio.sleep(4)
        await ledger.settle(settle_of(hold, grant, "0.1"))
        assert await Hold.objects.acount() == (1 if hours < 0 else 0)
    assert (await Call.objects.aget(id=hold.call_id)).outcome == "ok"
    assert await Alert.objects.filter(kind="clock_skew", summary__contains="jumped").aexists()
