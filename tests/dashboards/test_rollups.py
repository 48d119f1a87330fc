"""Rollups: the figures equal sums over the calls' rows, whatever was counted when."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from dashboards.filters import Filters
from dashboards.rollups import entities, figures, quantiles
from tests.rows import make_call

NOW = timezone.now()


def test_raw(db):
    make_call(labels={"a": "1", "b": "2"}, entities={"PERSON": 3})
    make_call(feature="x", outcome="lost", latency_ms=0)
    f = Filters(NOW - timedelta(days=2), NOW + timedelta(hours=2), {})
    [one] = figures(f)
    assert one.calls == 2 and one.lost_calls == 1
    assert [v.values for v in figures(f, by=("feature",), step="day")] == [("support.reply",), ("x",)]
    assert [v.values for v in figures(f, by=("label",), step="hour")]
    assert figures(f.only(label="a=1"))[0].calls == 1
    assert figures(f.only(label=""))[0].calls == 1
    assert figures(Filters(f.since, f.until, {"label": ("a=1", "b=2", "")}))[0].calls == 2
    [q] = quantiles(f, "latency")
    assert q.calls == 1 and q.ms[0] == pytest.approx(812.4, rel=0.01)
    assert entities(f)[0].count == 3
    assert entities(f, by=("feature",), step="day")[0].count == 3
