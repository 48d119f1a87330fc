"""What a feature's spend is read to be equals sums over the calls' rows, to the nano-dollar, whatever part of it rollups have."""

from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from dashboards.causes import DIMENSIONS
from dashboards.filters import Filters
from dashboards.rollups import TooMuchData, figures
from dashboards.rollups import query as rollups
from dashboards.spans import span
from dashboards.spend import MOST, read
from gateway.ledger.partitions import first_id
from gateway.models import Adjustment, Call
from tests.rollups import count
from tests.rows import make_call

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = timezone.now()
MIDNIGHT = timezone.localtime(NOW).replace(hour=0, minute=0, second=0, microsecond=0)
#: Since when, until when, and how long before the other stretch lies.
SPANS = [
    (NOW - HOUR, NOW, HOUR),
    (NOW - timedelta(hours=23, minutes=17), NOW, DAY),
    (MIDNIGHT - 6 * DAY, NOW, 7 * DAY),
    # A week by another clock, a part of a month, some days that are over, and the first hours of a month.
    (MIDNIGHT - 6 * DAY + 5 * HOUR, NOW, 7 * DAY),
    (MIDNIGHT - 12 * DAY, NOW, 31 * DAY),
    (MIDNIGHT - 20 * DAY + timedelta(hours=9, minutes=20), MIDNIGHT - 15 * DAY + 3 * HOUR, timedelta(hours=114)),
    (NOW - 4 * HOUR, NOW, 31 * DAY),
]  # fmt: skip


def scattered(number, seed):
    """Calls of the last weeks, and as many in each of the spans above."""
    random = Random(seed)
    ends = [
        *((since, until) for since, until, _ in SPANS),
        *((since - apart, until - apart) for since, until, apart in SPANS),
    ]
    made = []
    for place in range(number):
        since, until = ends[place % len(ends)]
        made.append(
            make_call(
                at=since + random.random() * (until - since), feature=random.choice(["f", "f", "f", "g"]),
                tenant=random.choice(["", "acme", "globex"]), cohort=random.choice(["", "beta"]), key=random.choice("kl"),
                user_ref=f"u{random.randrange(MOST + 6)}", provider=random.choice(["", "p"]), model_served=random.choice("mn"),
                prompt_version=random.choice(["", "ab" * 32]), outcome=random.choice(["ok", "timeout", "lost"]),
                cost_usd=random.choice([None, Decimal(random.randrange(10**9)) / 10**9]), input_tokens=random.randrange(9),
            )
        )  # fmt: skip
    return made


def correct(calls):
    Adjustment.objects.bulk_create(
        [
            Adjustment(
                call_id=call.id, cost_usd=Decimal("0.123456789"), tokens=3, outcome=outcome, actor="a", reason="b"
            )
            for call, outcome in zip(calls, ("ok", "timeout", "", ""), strict=False)
        ]
    )


class Spent(dict):
    """US dollars and calls of each value of a dimension."""

    def __missing__(self, value):
        return Decimal(0), 0

    @classmethod
    def of(cls, calls, kind):
        found = cls()
        for call in calls:
            usd, number = found[getattr(call, kind)]
            found[getattr(call, kind)] = usd + call.usd, number + 1
        return found


def rows_of(stretch, tenants):
    """The calls of a stretch as they count: with what was corrected later."""
    rows = Call.objects.filter(feature="f", id__gte=first_id(stretch.since), id__lt=first_id(stretch.until))
    for call in rows if tenants is None else rows.filter(tenant__in=tenants):
        corrections = list(Adjustment.objects.filter(call_id=call.id))
        call.usd = (call.cost_usd or 0) + sum(one.cost_usd for one in corrections)
        call.all_tokens = call.total_tokens + sum(one.tokens for one in corrections)
        call.outcome = max((one.outcome for one in corrections if one.outcome), default=call.outcome)
        call.unpriced = call.cost_usd is None and not corrections and call.all_tokens > 0
        call.model = f"{call.provider}/{call.model_served}".lstrip("/")
        yield call


def as_rows_are(one, tenants=None):
    """Whether all that is read of a span is what its rows come to."""
    found = read("f", one, tenants=tenants)
    known = {}
    for name, stretch in (("now", one.now), ("before", one.before)):
        calls, total = list(rows_of(stretch, tenants)), getattr(found, name)
        failed = [call for call in calls if call.outcome in ("timeout", "lost")]
        assert (total.usd, total.calls, total.errors) == (sum(call.usd for call in calls), len(calls), len(failed))
        assert (total.tokens, total.unpriced) == (sum(c.all_tokens for c in calls), sum(c.unpriced for c in calls))
        ends = [first_id(at) for at in (*stretch.starts, stretch.until)]
        for place, (first, last) in enumerate(pairwise(ends)):
            slice = getattr(found.slices[place], name)
            assert slice.usd == sum(call.usd for call in calls if first <= call.id < last), (name, place)
        known[name] = {kind: Spent.of(calls, kind) for kind in DIMENSIONS}
    assert [kind.name for kind in found.dimensions] == [*DIMENSIONS] and not found.left_out
    for kind in found.dimensions:
        now, before = known["now"][kind.name], known["before"][kind.name]
        shown = {cause.value: (cause.spend.now.usd, cause.spend.before.usd) for cause in kind.causes}
        assert shown == {value: (now[value][0], before[value][0]) for value in shown}
        assert all(cause.spend.now.calls == now[cause.value][1] for cause in kind.causes)
        changes = {value: abs(now[value][0] - before[value][0]) for value in {*now, *before}}
        assert sorted(map(changes.get, shown), reverse=True) == sorted(changes.values(), reverse=True)[:MOST]
        assert kind.other_values == max(0, len(changes) - MOST)
    return found


def spans():
    return [span(str(number), "", "", *ends, now=NOW) for number, ends in enumerate(SPANS)]


def test_figures_are_those_of_the_rows_whatever_is_counted(transactional_db):
    calls = scattered(110, seed=1)
    correct(calls[:30:10])
    count()
    # Beside what is counted, some that come late, and corrections of what is counted and of what is not.
    late = scattered(28, seed=2)
    correct([calls[7], late[3], calls[21], late[9]])
    for one in spans():
        as_rows_are(one)
        as_rows_are(one, tenants=("acme",))
    assert not read("f", spans()[2], tenants=()).now.calls


def test_what_is_read_of_calls_is_short():
    """By the hour of the day, at most parts of two days; by hours where these are kept, at most parts of two hours."""
    for one, most in zip(spans(), (2 * HOUR, 4 * HOUR, 2 * DAY, 4 * DAY, 2 * DAY, 4 * DAY, 2 * DAY), strict=True):
        beside = [*one.now.beside, *one.before.beside]
        assert sum((until - since for since, until in beside), timedelta()) < most + timedelta(seconds=1)
        for stretch in (one.now, one.before):
            parts = sorted([*stretch.beside, *([stretch.rolled] if stretch.rolled else [])])
            assert parts[0][0] == stretch.since and parts[-1][1] == stretch.until
            assert all(part[1] == following[0] for part, following in pairwise(parts))


def test_days_are_those_of_the_calendar(settings):
    """Summer time begins on 29 March 2026 and ends on 25 October."""
    settings.TIME_ZONE = "Europe/Berlin"
    place = ZoneInfo("Europe/Berlin")
    with timezone.override(place):
        for year, month, day, last in ((2026, 4, 1, 19), (2026, 10, 28, 19), (2026, 10, 28, 23)):
            since = timezone.datetime(year, month, day, tzinfo=place)
            one = span("x", "", "", since, since + last * HOUR, 7 * DAY, since + last * HOUR)
            assert (
                timezone.localtime(one.before.since).hour == 0 and one.before.since < one.before.until <= one.now.since
            )
            assert one.before.until - one.before.since == last * HOUR and len(one.now.starts) == len(one.before.starts)
            whole = span("x", "", "", since - 7 * DAY, since, 7 * DAY, since)
            assert {timezone.localtime(at).hour for at in (*whole.now.starts, *whole.before.starts)} == {0}
            assert len(whole.now.starts) == 7


def test_where_too_much_would_have_to_be_read_it_is_left_out(transactional_db, monkeypatch):
    scattered(28, seed=4)
    count()
    monkeypatch.setattr(rollups, "MOST_CALLS", 1)
    found = read("f", spans()[2], tenants=("acme",))
    assert found.left_out == ("key", "user_ref") and [kind.name for kind in found.dimensions] == [*DIMENSIONS[:4]]
    assert found.now.calls == len(list(rows_of(spans()[2].now, ("acme",))))
    with pytest.raises(TooMuchData):
        figures(Filters(NOW - 9 * DAY, NOW), ("tenant", "user_ref"))
