"""The page that Prometheus reads (text format 0.0.4): the meters of all processes, and what is now.

Names are made as OpenTelemetry's specification says (Prometheus compatibility), so that a dashboard serves both ways.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import accumulate

from django.db import connection

from gateway.telemetry import gauges, store
from gateway.telemetry.names import BY_NAME, METRICS, Metric
from gateway.telemetry.store import Series

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
SUFFIXES = {"s": "_seconds", "1": "_ratio"}


def page() -> str:
    """All of it, as of now. Raises psycopg.Error or django's DatabaseError when the database is away. Not in a loop."""
    try:
        store.store.write()
        now = [Series(name, said, [value]) for name, value, said in gauges.of_product()]
        return render([*store.read(), *now])
    finally:
        # In a thread whose connection nobody else would close.
        connection.close()


def name_of(metric: Metric) -> str:
    """The metric's name for Prometheus, e.g. `gen_ai_client_operation_duration_seconds`."""
    name = metric.name.replace(".", "_") + SUFFIXES.get(metric.unit, "")
    return f"{name}_total" if metric.kind == "counter" else name


def render(found: Iterable[Series]) -> str:
    """The page's text; metrics in the order of their table."""
    by_name: dict[str, list[Series]] = {}
    for series in found:
        by_name.setdefault(series.name, []).append(series)
    lines: list[str] = []
    for metric in METRICS:
        if metric.name in by_name:
            lines += [f"# HELP {name_of(metric)} {metric.description}", f"# TYPE {name_of(metric)} {metric.kind}"]
            for series in by_name[metric.name]:
                lines += _lines(series)
    return "\n".join([*lines, ""])


def _lines(series: Series) -> list[str]:
    metric = BY_NAME[series.name]
    name = name_of(metric)
    if not metric.buckets:
        return [f"{name}{_labels(series.labels)} {_number(series.values[0])}"]
    *counts, total, count = series.values
    bounds = [*metric.buckets, math.inf]
    lines = [
        f"{name}_bucket{_labels({**series.labels, 'le': _number(bound)})} {_number(below)}"
        for bound, below in zip(bounds, accumulate(counts), strict=True)
    ]
    return [*lines, f"{name}_sum{_labels(series.labels)} {_number(total)}",
            f"{name}_count{_labels(series.labels)} {_number(count)}"]  # fmt: skip


def _labels(said: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name.replace(".", "_")}="{_escaped(value)}"' for name, value in sorted(said.items()))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)
