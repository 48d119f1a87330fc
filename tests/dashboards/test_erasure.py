"""What the rollups owe to a person's erasure and to retention: no trace of the person, and no call that is not counted."""

from datetime import timedelta
from decimal import Decimal

from django.db import connection
from django.utils import timezone

from dashboards.filters import Filters
from dashboards.models import RollupState
from dashboards.rollups import figures
from dashboards.rollups.check import differences
from gateway import privacy
from gateway.models import Adjustment, Call, RetentionRule
from gateway.retention import remove
from gateway.retention.derived import EVER, counted
from tests.rollups import count
from tests.rows import make_call

NOW = timezone.now()
ALL = Filters(NOW - timedelta(days=20), NOW + timedelta(hours=2))


def by(dimension):
    return {row.values[0]: (row.calls, row.cost_usd) for row in figures(ALL, (dimension,))}


def found(text):
    """How many of the rollups' combinations of values have this text in one of them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tollhouse_rollup_values v WHERE v::text LIKE '%%' || %s || '%%'", [text])
        return cursor.fetchone()[0]


def test_an_erasure_leaves_no_reference_and_no_label_of_the_person_and_all_of_the_money(transactional_db):
    mine = {"user_ref": "ann's", "labels": {"ticket": "4711", "team": "search"}}
    make_call(**mine, cost_usd=Decimal(1))
    make_call(user_ref="other", labels={"team": "search"}, cost_usd=Decimal(2))
    late = make_call(user_ref="", session_id="", labels={}, cost_usd=Decimal(4))
    count()
    # Not counted yet when the person is erased: a call, and what corrects one that is.
    make_call(**mine, cost_usd=Decimal(8))
    first = Call.objects.filter(user_ref="ann's").order_by("id")[0]
    Adjustment.objects.bulk_create(
        [Adjustment(call_id=id, cost_usd=Decimal(16), reason="x", actor="x") for id in (first.id, late.id)]
    )
    privacy.erase("ann's", actor="dpo", reason="r")
    for _ in range(2):
        assert by("user_ref") == {"": (3, Decimal(45)), "other": (1, Decimal(2))}
        assert by("label") == {"": (3, Decimal(45)), "team=search": (1, Decimal(2))}
        assert not found("ann") and not found("4711") and found("team=search") == 1
        count()
    assert not differences()


def test_while_they_are_built_days_that_are_counted_are_put_right(transactional_db):
    old, new = (make_call(user_ref="ann's", labels={"a": "1"}, at=NOW - timedelta(days=n)) for n in (3, 1))
    count()
    RollupState.objects.update(built=False, built_until=NOW - timedelta(days=2))
    # As if the newer day were still to come.
    with connection.cursor() as cursor:
        for table in ("tollhouse_rollup", "tollhouse_rollup_sketch", "tollhouse_rollup_entity"):
            cursor.execute(f"DELETE FROM {table} WHERE at >= %s", [NOW - timedelta(days=2)])
    privacy.erase("ann's", actor="dpo", reason="r")
    assert counted() == 0
    count()
    assert by("label") == {"": (2, old.cost_usd + new.cost_usd)} and not differences() and not found("ann")


def test_what_is_removed_has_been_counted_first(transactional_db):
    assert counted() == EVER, "nothing waits for sums that nobody has begun"
    RetentionRule.objects.create(kind="call", feature="f", keep_days=1)
    make_call(feature="f", at=NOW - timedelta(days=9), cost_usd=Decimal(1))
    count()
    make_call(feature="f", at=NOW - timedelta(days=9), cost_usd=Decimal(2))
    # Expired when it is written, as one from a spool file may be, and by a transaction that the rollups still wait for.
    make_call(feature="f", at=NOW - timedelta(days=9), cost_usd=Decimal(4))
    with connection.cursor() as cursor, remove.seeing_expired():
        cursor.execute("UPDATE tollhouse_call SET written = %s WHERE cost_usd = 4", [2**50])
    removed = remove.remove()["call"]["rows"]
    with remove.seeing_expired():
        left = [call.cost_usd for call in Call.objects.all()]
    assert removed + len(left) == 3 and Decimal(4) in left
    with connection.cursor() as cursor, remove.seeing_expired():
        cursor.execute("UPDATE tollhouse_call SET written = txid_current() WHERE cost_usd = 4")
    count()
    remove.remove()
    with remove.seeing_expired():
        assert not Call.objects.exists()
    assert by("feature") == {"f": (3, Decimal(7))}
