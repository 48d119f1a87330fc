"""`make chaos` in small, and its accounts: what does not balance is told."""

import signal
import subprocess
import sys
from decimal import Decimal

import pytest
from django.db import connection

from budgets.models import Bucket, Budget, RateLimit, Window
from budgets.rates import PARTS
from gateway.ledger.partitions import make_ahead
from tests.load import accounts
from tests.load.storm import Answer
from tests.rows import make_call
from tests.server import ROOT


def test_two_rounds_of_chaos_leave_balanced_books():
    command = [sys.executable, "-m", "tests.load.chaos", "--rounds", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        output, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    assert process.returncode == 0, output
    assert "Every rule holds" in output


def told(served=None, answers=()):
    """What the accounts find, without the names of calls."""
    found = accounts.of_calls(served or {}, answers, "r1-")
    return [line.partition(": ")[2] for line in found]


@pytest.fixture
def books(transactional_db):
    make_ahead(1)


def test_a_request_without_a_row_and_one_with_two_are_told(books):
    make_call(session_id="r1-a")
    make_call(session_id="r1-b")
    make_call(session_id="r1-b")
    assert told({"r1-a": 1}) == ["it has 2 rows", "its row says 1 attempts, the upstream served 0"]
    assert "the upstream served it, and it has 0 rows" in told({"r1-c": 1})
    assert "the upstream served it, and it has 2 rows" in told({"r1-b": 1})


@pytest.mark.parametrize(
    ("values", "requests", "rule"),
    [
        ({"outcome": "refused_budget"}, 1, "it was refused, and the upstream served 1 requests of it"),
        ({"attempts": 2}, 1, "its row says 2 attempts, the upstream served 1"),
        ({"attempts": 1, "outcome": "cancelled"}, 2, "its row says 1 attempts, the upstream served 2"),
        ({"overrun_usd": Decimal("0.1")}, 1, "an overrun of 0.100000000, where none is possible"),
    ],
)
def test_a_row_that_contradicts_the_upstream_is_told(books, values, requests, rule):
    make_call(session_id="r1-a", **values)
    assert told({"r1-a": requests}) == [rule]


@pytest.mark.parametrize(
    ("values", "requests"),
    [({}, 1), ({"outcome": "cancelled"}, 0), ({"outcome": "lost", "attempts": 0}, 3), ({"outcome": "timeout"}, 1)],
)
def test_a_row_that_agrees_with_the_upstream_is_not(books, values, requests):
    make_call(session_id="r1-a", **values)
    assert told({"r1-a": requests} if requests else {}) == []


def test_a_reply_that_its_row_does_not_bear_out_is_told(books):
    def answer(marker, cost_usd=None):
        return Answer(marker=marker, feature="f", complete=True, cost_usd=cost_usd)

    assert told({}, [answer("r1-a")]) == ["its reply was handed over, and it has no row"]
    make_call(session_id="r1-b", outcome="lost")
    assert told({"r1-b": 1}, [answer("r1-b")]) == ["its reply was handed over, and its row says lost"]
    make_call(session_id="r1-c", cost_usd=Decimal("0.5"))
    assert told({"r1-b": 1, "r1-c": 1}, [answer("r1-c", "0.500000000")]) == []
    assert told({"r1-b": 1, "r1-c": 1}, [answer("r1-c", "0.4")]) == ["its reply said 0.4 USD, its row says 0.500000000"]


@pytest.mark.parametrize(
    ("metric", "spent"), [("usd", Decimal("0.000000003")), ("tokens", Decimal(2 * 1440)), ("calls", Decimal(2))]
)
def test_windows_are_compared_with_the_rows_of_their_scope(books, metric, spent):
    budget = Budget.objects.create(feature="f", model="m", metric=metric, limit=10**4)
    window = Window.objects.create(
        budget=budget, starts_at="2026-01-01T00:00Z", ends_at="2026-01-02T00:00Z", spent=spent
    )
    make_call(feature="f", model_served="m", cost_usd=Decimal("0.000000001"))
    make_call(feature="f", model_served="m", cost_usd=Decimal("0.000000002"))
    make_call(feature="f", model_served="other")
    make_call(feature="g", model_served="m")
    assert accounts.of_windows() == []
    Window.objects.filter(id=window.id).update(spent=spent + Decimal("1e-9"), held=1)
    assert [line.partition(": ")[2] for line in accounts.of_windows()] == [
        f"its windows say {spent + Decimal('1e-9')} spent, the rows {accounts.spent_by_rows(budget)}",
        "1.000000000 held while no call is in flight",
    ]


def test_places_that_nobody_holds_and_levels_above_what_is_full_are_told(books):
    limit = RateLimit.objects.create(feature="f", requests_per_minute=60, concurrent=5)
    bucket = Bucket.objects.create(rate_limit=limit, requests_level=60 * PARTS)
    assert accounts.of_buckets() == []
    Bucket.objects.filter(id=bucket.id).update(in_flight=1, requests_level=61 * PARTS)
    assert [line.partition(": ")[2] for line in accounts.of_buckets()] == [
        "1 under way while no call is in flight",
        "61 left, of 60",
    ]


def test_a_hold_left_over_is_told(books):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tollhouse_hold (call_id, owner, expires_at, windows, amounts, draft)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), now(), '{}', '{}', '{}')"
        )
    [line] = accounts.of_windows()
    assert line.endswith("neither settled nor lost")
