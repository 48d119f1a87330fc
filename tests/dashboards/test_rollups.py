"""Rollups: the figures equal sums over the calls' rows, whatever was counted when."""

from datetime import timedelta

import pytest
from django.utils import timezone

from dashboards.filters import Filters
from dashboards.rollups import entities, figures, quantiles
from dashboards.rollups.build import build, prepare, rebuild
from dashboards.rollups.check import differences
from dashboards.rollups.roll import roll
from tests.rows import make_call

NOW = timezone.now()


def test_raw(transactional_db):
    for counted in range(3):
        make_call(labels={"a": "1", "b": "2"}, entities={"PERSON": 3})
        make_call(feature="x", outcome="lost", latency_ms=0)
        f = Filters(NOW - timedelta(days=2), NOW + timedelta(hours=2), {})
        n = counted + 1
        for _ in range(2):
            [one] = figures(f)
            assert one.calls == 2 * n and one.lost_calls == n
            assert [v.values for v in figures(f, by=("feature",), step="day")] == [("support.reply",), ("x",)]
            assert [v.values for v in figures(f, by=("label",), step="hour")]
            assert figures(f.only(label="a=1"))[0].calls == n
            assert figures(f.only(label=""))[0].calls == n
            assert figures(Filters(f.since, f.until, {"label": ("a=1", "b=2", "")}))[0].calls == 2 * n
            [q] = quantiles(f, "latency")
            assert q.calls == n and q.ms[0] == pytest.approx(812.4, rel=0.01)
            assert entities(f)[0].count == 3 * n
            assert entities(f, by=("feature",), step="day")[0].count == 3 * n
            prepare()
            print(build())
            assert roll()
            assert differences() == []
            print(rebuild(None))
            assert differences() == []
