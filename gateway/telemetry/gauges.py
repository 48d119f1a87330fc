"""What is now: of the gate of this process, and of the whole product as the database has it."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic

from django.db import DatabaseError, connection
from django.db.models import Count, F
from django.db.models import Window as RankedBy
from django.db.models.functions import Now, RowNumber
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from budgets.models import Alert, Budget, Switch, Window
from gateway.models import Hold
from gateway.telemetry.names import METRICS
from gateway.worker_beat import silent_s

#: A metric's name, its value and its attributes.
Reading = tuple[str, float, Mapping[str, str]]

#: Windows of one budget that has one for each value: the fullest ones are told. Never those of single users.
MOST_WINDOWS = 20
#: For how long one look at the database serves all gauges of a process, in seconds.
FRESH_S = 2.0
#: Gauges of one process; all others are of the whole product, and a worker tells OpenTelemetry of them.
OF_PROCESS = ("tollhouse.ledger.queue", "tollhouse.ledger.away", "tollhouse.breaker.open")
OF_PRODUCT = tuple(metric.name for metric in METRICS if metric.kind == "gauge" and metric.name not in OF_PROCESS)

#: Read the gates that this process has open.
_sources: list[Callable[[], Iterable[Reading]]] = []


def add_source(source: Callable[[], Iterable[Reading]]) -> None:
    """From now on `readings` asks this too."""
    _sources.append(source)


def remove_source(source: Callable[[], Iterable[Reading]]) -> None:
    """From now on `readings` does not ask this any more."""
    if source in _sources:
        _sources.remove(source)


def readings() -> list[Reading]:
    """What the gates of this process are at."""
    return [reading for source in list(_sources) for reading in source()]


def of_product() -> list[Reading]:
    """Budgets, holds, switches, alerts and the worker, as the database has them. Raises django's DatabaseError."""
    found = [*_windows(), ("tollhouse.holds", float(Hold.objects.count()), {})]
    switches = Switch.objects.in_force().order_by().values_list("scope").annotate(n=Count("id"))
    found += [("tollhouse.switches.on", float(n), {"tollhouse.scope": scope}) for scope, n in switches]
    alerts = Alert.objects.filter(resolved_at=None).order_by().values_list("kind", "severity").annotate(n=Count("id"))
    for kind, severity, n in alerts:
        said = {"tollhouse.alert.kind": kind, "tollhouse.alert.severity": severity}
        found.append(("tollhouse.alerts.open", float(n), said))
    if (silent := silent_s()) is not None:
        found.append(("tollhouse.worker.silent", silent, {}))
    return found


def _windows() -> list[Reading]:
    """Spent, held, limit and share of the windows that are live."""
    live = Window.objects.filter(
        starts_at__lte=Now(), ends_at__gt=Now(), calendar=F("budget__calendar"),
        budget__active=True, budget__deleted_at=None,
    )  # fmt: skip
    rank = RankedBy(RowNumber(), partition_by="budget", order_by=[F("spent").desc(), "pk"])
    # First which, then all about them: a budget may have a window for each of a hundred thousand users.
    fullest = live.annotate(rank=rank).filter(rank__lte=MOST_WINDOWS).values_list("pk", "rank")
    ranks = dict(fullest)
    found: list[Reading] = []
    for window in Window.objects.filter(pk__in=ranks).with_limit().select_related("budget"):
        by_user = "user" in window.budget.each
        if not by_user or ranks[window.pk] == 1:
            found += _of_window(window, value="(the fullest)" if by_user else window.value)
    return found


def _of_window(window: Window, *, value: str) -> list[Reading]:
    budget: Budget = window.budget
    said = {
        "tollhouse.budget": str(budget.pk),
        "tollhouse.budget.value": value,
        "tollhouse.budget.metric": budget.metric,
        "tollhouse.budget.period": budget.period,
    }
    limit, used = window.limit, window.spent + window.held
    return [
        ("tollhouse.budget.spent", float(window.spent), said),
        ("tollhouse.budget.held", float(window.held), said),
        ("tollhouse.budget.limit", float(limit), said),
        ("tollhouse.budget.share", float(used / limit) if limit else 1.0, said),
    ]


def export(names: Sequence[str], look: Callable[[], Iterable[Reading]]) -> None:
    """Tells OpenTelemetry of these gauges, whenever its meters are read; `look` finds all of them."""
    seen, meter = _Look(look), metrics.get_meter("tollhouse")
    for metric in METRICS:
        if metric.name in names:
            meter.create_observable_gauge(metric.name, [seen.of(metric.name)], metric.unit, metric.description)


class _Look:
    """One look, which serves all gauges that are asked for at about the same time. In the meters' own thread."""

    def __init__(self, look: Callable[[], Iterable[Reading]]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._at = 0.0
        self._found: list[Reading] = []

    def of(self, name: str) -> Callable[[CallbackOptions], list[Observation]]:
        def observe(options: CallbackOptions) -> list[Observation]:
            return [Observation(value, said) for known, value, said in self._readings() if known == name]

        return observe

    def _readings(self) -> list[Reading]:
        with self._lock:
            if not self._at or monotonic() - self._at > FRESH_S:
                try:
                    self._found = list(self._look())
                except DatabaseError:
                    # What cannot be read is not told: an old figure would look like a new one.
                    self._found = []
                finally:
                    connection.close()
                self._at = monotonic()
            return self._found


# A forked child has no gate yet; its parent tells of its own.
os.register_at_fork(after_in_child=_sources.clear)
