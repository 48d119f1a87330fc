"""Forecasts of live windows: a job of the worker samples what they spent, estimates their end and warns ahead of it.

It reads windows and their samples and never a call, takes no lock on a window, and does its work in a bounded number of
windows a run: those whose forecast is the oldest come first. Of several workers one at a time does it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import BigIntegerField, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Cast, Now, Substr

from budgets.forecast import Clock, Curve, Estimate, curve, forecast, weekday_weights
from budgets.forecast_words import shown_budget, shown_limit, shown_run_out, shown_spend
from budgets.models import Alert, Budget, Forecast, Window, WindowSample
from budgets.outbox import open_alert, resolve_alert

#: A window is sampled, and its forecast made anew, at most this often in its length.
SAMPLES = 48
#: How many forecasts one run makes at most; one that is left waits for the next run.
MOST_A_RUN = 2000
CHUNK = 250
#: For how many days samples are kept, and of how many earlier windows a forecast is made. Hours are told by their pace
#: alone, and so are fixed dates, which come once.
KEPT_DAYS = {"hour": 1, "day": 36, "week": 64, "month": 190}
EARLIER = {"hour": 0, "day": 4, "week": 6, "month": 5}
#: A warning is over when the expected end has fallen below this share of the limit.
CALM = Decimal("0.9")
#: Key of the advisory lock that makes the job one over all workers; any number that nothing else takes.
LOCK = 7_065_810_050
NANO = Decimal("1e-9")

SAMPLE, DUE = (
    (Path(__file__).parent / "sql" / name).read_text(encoding="utf-8")
    for name in ("sample_windows.sql", "due_forecasts.sql")
)


#: Budget and value: windows of the same series are compared with each other.
Series = tuple[int, str]


def series_of(window: Window) -> Series:
    return window.budget_id, window.value


def own(window: Window) -> Decimal:
    """What was spent in it since it was made. What it took over came at once, and says nothing about its pace."""
    return max(window.spent - window.carried, Decimal(0))


def is_soft_crossed(window: Window) -> bool:
    """Whether people know already, as the window's first warning is behind it; never without thresholds."""
    percents = window.budget.soft_percent
    return bool(percents) and window.spent * 100 >= window.limit * min(percents)


def forecast_windows() -> None:
    """Samples the windows that are open now, and renews their forecasts and warnings. A job of the worker."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s), now()", [LOCK])
            free, now = cursor.fetchone()
            if not free:
                return
            cursor.execute(SAMPLE, [SAMPLES])
        due = list(_due())
        for first in range(0, len(due), CHUNK):
            _renew(due[first : first + CHUNK], now)
        _end_warnings(now)
        _prune(now)


def _due() -> QuerySet[Window]:
    """Open windows whose forecast is missing or as old as the time between two samples, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(DUE, [SAMPLES, MOST_A_RUN])
        ids = [id for (id,) in cursor.fetchall()]
    return Window.objects.with_limit().filter(id__in=ids).select_related("budget").order_by("id")


@dataclass(frozen=True)
class Past:
    """A window with its samples in order of time: what it had spent itself."""

    window: Window
    samples: Sequence[tuple[datetime, Decimal]]

    @cached_property
    def stretches(self) -> list[tuple[datetime, datetime, float]]:
        """What was spent from each sample to the next, and to the window's end."""
        points = [(self.window.starts_at, Decimal(0)), *self.samples, (self.window.ends_at, own(self.window))]
        return [(a, b, float(after - before)) for (a, before), (b, after) in pairwise(points) if a < b]

    def curve(self, clock: Clock) -> Curve | None:
        return curve([(clock.elapsed(at), float(spent)) for at, spent in self.samples], float(own(self.window)))


def _renew(windows: Sequence[Window], now: datetime) -> None:
    """Makes the forecasts of these windows, with a fixed number of queries."""
    past = _past(windows, now)
    samples = _samples(windows)
    keys = [_key(window) for window in windows]
    written = dict(Alert.objects.filter(dedup_key__in=keys).values_list("dedup_key", "resolved_at"))
    rows = []
    for window in windows:
        made, known = _estimate(window, samples.get(window.id, ()), past.get(series_of(window), []), now)
        rows.append(_row(window, made, known, now))
        _warn(window, rows[-1], written)
    Forecast.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["window"],
        update_fields=["made_at", "expected", "low", "high", "runs_out_at", "note"],
    )


def _past(windows: Sequence[Window], now: datetime) -> Mapping[Series, list[Past]]:
    """Earlier windows of the same series that a forecast can be made of, the latest first."""
    wanted = [w for w in windows if EARLIER[_period(w.budget)]]
    today = {series_of(w): _weekday(w) for w in wanted}
    of: dict[str, set[Series]] = defaultdict(set)
    for window in wanted:
        of[_period(window.budget)].add(series_of(window))
    recent = Q(pk=None)
    for period, keys in of.items():
        # Of each value that any of these budgets has here: a few more than are wanted, and none of a thousand others.
        some = Q(budget__in={budget for budget, _ in keys}, value__in={value for _, value in keys})
        recent |= some & Q(ends_at__gt=now - timedelta(days=KEPT_DAYS[period]))
    found = Window.objects.filter(recent, ends_at__lte=now, spent__gt=F("carried")).select_related("budget")
    series: dict[Series, list[Window]] = defaultdict(list)
    for window in found.order_by("-starts_at"):
        if series_of(window) in today:
            series[series_of(window)].append(window)
    chosen = {key: _like(listed) for key, listed in series.items()}
    kept = {key: _same_weekday(listed, today[key]) for key, listed in chosen.items()}
    samples = _samples([w for listed in kept.values() for w in listed])
    return {key: [Past(w, samples[w.id]) for w in listed if w.id in samples] for key, listed in kept.items()}


def _like(windows: list[Window]) -> list[Window]:
    """Those that are as long as a window of the budget is now: its calendar may have been another one once, and the last
    window of that one ended early."""
    period = _period(windows[0].budget)
    least, most = {"day": (23, 25), "week": (167, 169), "month": (671, 745)}.get(period, (0, 0))
    hours = [(w.ends_at - w.starts_at) / timedelta(hours=1) for w in windows]
    return [w for w, length in zip(windows, hours, strict=True) if least <= length <= most]


def _same_weekday(windows: list[Window], weekday: int | None) -> list[Window]:
    """For days those of the same weekday, where there are two; else the latest. For other periods the latest."""
    if not windows:
        return []
    most = EARLIER[_period(windows[0].budget)]
    if weekday is not None:
        same = [w for w in windows if _weekday(w) == weekday]
        if len(same) >= 2:
            return same[:most]
    return windows[:most]


def _weekday(window: Window) -> int | None:
    """The weekday of a day's window, by the middle of it in its zone; None for other periods."""
    if _period(window.budget) != "day":
        return None
    middle = window.starts_at + (window.ends_at - window.starts_at) / 2
    return middle.astimezone(_zone(window.budget)).weekday()


def _period(budget: Budget) -> str:
    return budget.period if budget.period in EARLIER else "hour"


def _zone(budget: Budget) -> ZoneInfo:
    return ZoneInfo(budget.timezone)


def _samples(windows: Iterable[Window]) -> dict[int, list[tuple[datetime, Decimal]]]:
    """What these windows had spent themselves, by their ids."""
    carried = {window.id: window.carried for window in windows}
    found: dict[int, list[tuple[datetime, Decimal]]] = defaultdict(list)
    rows = WindowSample.objects.filter(window__in=list(carried)).order_by("window", "at")
    for id, at, spent in rows.values_list("window_id", "at", "spent").iterator(chunk_size=5000):
        found[id].append((at, max(spent - carried[id], Decimal(0))))
    return found


def _estimate(
    window: Window, samples: Sequence[tuple[datetime, Decimal]], past: list[Past], now: datetime
) -> tuple[tuple[Estimate, Clock] | None, int]:
    """The estimate with the clock that it is told by, if there is one, and how many earlier windows it rests on."""
    zone = _zone(window.budget)
    weights = None
    if _period(window.budget) == "month":
        weights = weekday_weights([stretch for p in past for stretch in p.stretches], zone)
    clocks = [Clock(p.window.starts_at, p.window.ends_at, zone, weights) for p in past]
    curves = [c for p, clock in zip(past, clocks, strict=True) if (c := p.curve(clock))]
    clock = Clock(window.starts_at, window.ends_at, zone, weights)
    made = forecast(
        spent=float(own(window)),
        elapsed=clock.elapsed(now),
        steps=len(samples),
        limit=float(window.limit - window.carried),
        earlier=curves,
    )
    return (made, clock) if made else None, len(curves)


def _row(window: Window, made: tuple[Estimate, Clock] | None, earlier: int, now: datetime) -> Forecast:
    if made is None:
        return Forecast(window=window, made_at=now, note="Too early to say.")
    estimate, clock = made
    if earlier:
        day = "same weekday's" if _weekday(window) is not None else "earlier"
        note = f"From the pace so far and {earlier} {day} window{'s' if earlier > 1 else ''}."
    else:
        note = "From the pace so far."
    runs_out = None if estimate.runs_out is None else max(now, clock.moment(estimate.runs_out))
    if runs_out is not None and window.spent >= window.limit:
        runs_out = now
    return Forecast(
        window=window,
        made_at=now,
        expected=max(window.spent, window.carried + _exact(estimate.expected)),
        low=max(window.spent, window.carried + _exact(estimate.low)),
        high=max(window.spent, window.carried + _exact(estimate.high)),
        runs_out_at=runs_out,
        note=note,
    )


def _exact(value: float) -> Decimal:
    return Decimal(value).quantize(NANO) if value < 1e15 else Decimal(10**15)


def _key(window: Window) -> str:
    return f"forecast:{window.id}"


def _warn(window: Window, row: Forecast, written: Mapping[str, datetime | None]) -> None:
    """Writes the warning that the limit will be passed, once for each window; ends it when that is no longer so.

    `written` has the warnings that there are, with when they ended.
    """
    limit, key = window.limit, _key(window)
    if row.expected is None or row.low is None or row.high is None:
        return
    if row.expected > limit and key not in written and not is_soft_crossed(window):
        budget = window.budget
        open_alert(
            "forecast",
            Alert.Severity.WARNING,
            key,
            f"{shown_budget(window)[:350]} is expected to come to {shown_spend(row, budget.metric)} of "
            f"{shown_limit(window)}{shown_run_out(row, window, _zone(budget))}.",
            detail={
                "budget": window.budget_id,
                "window": window.id,
                "value": window.value,
                "starts_at": window.starts_at.isoformat(),
                "ends_at": window.ends_at.isoformat(),
                "spent": str(window.spent),
                "limit": str(limit),
                "metric": budget.metric,
                "expected": str(row.expected),
                "low": str(row.low),
                "high": str(row.high),
                "runs_out_at": row.runs_out_at.astimezone(UTC).isoformat() if row.runs_out_at else None,
                "note": row.note,
            },
            feature=window.named("feature")[:100],
            tenant=window.named("tenant")[:200],
            ends_at=window.ends_at,
        )
    elif row.expected < limit * CALM and key in written and written[key] is None:
        resolve_alert(key, "It is now expected to stay within the limit.")


def _end_warnings(now: datetime) -> None:
    """Ends warnings of windows that ended early, as their budget has another calendar, and of budgets out of force."""
    of_key = Cast(Substr("dedup_key", len("forecast:") + 1), BigIntegerField())
    live = Window.objects.filter(pk=OuterRef("window"), ends_at__gt=now, budget__active=True)
    told = Alert.objects.filter(kind="forecast", resolved_at=None, ends_at__gt=now).annotate(window=of_key)
    told.filter(~Exists(live)).update(
        resolved_at=Now(), resolution="Its budget is paused, was deleted, or has other periods now."
    )


def _prune(now: datetime) -> None:
    """Forgets samples that no forecast will be made of, and forecasts that nobody renews, as their windows are over."""
    for period, days in KEPT_DAYS.items():
        last = now - timedelta(days=days)
        # A short stretch, as this is done every minute; what a long pause left behind goes with the oldest, below.
        over = Window.objects.filter(budget__period=period, ends_at__lt=last, ends_at__gt=last - timedelta(hours=6))
        # In two steps: the planner, which may know nothing of rows that are new, would look at all windows for each sample.
        if ids := list(over.values_list("id", flat=True)):
            WindowSample.objects.filter(window__in=ids).delete()
    WindowSample.objects.filter(at__lt=now - timedelta(days=max(KEPT_DAYS.values()))).delete()
    Forecast.objects.filter(made_at__lt=now - timedelta(days=2)).delete()
