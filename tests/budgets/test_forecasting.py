"""The worker's forecasts: what is sampled, told, warned of and forgotten, on rows that tests place in time."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from budgets import forecasting
from budgets.forecasting import LOCK, forecast_windows
from budgets.models import Alert, Budget, BudgetRaise, Forecast, Rate, Window, WindowSample

pytestmark = pytest.mark.django_db


def window_of(budget, *, elapsed=0.5, spent="5", days_ago=0, length=timedelta(days=1), **values):
    starts = timezone.now() - length * elapsed - timedelta(days=days_ago)
    return Window.objects.create(
        budget=budget, starts_at=starts, ends_at=starts + length, spent=Decimal(spent), **values
    )


def sample(window, *points):
    """Samples at shares of the window's length."""
    length = window.ends_at - window.starts_at
    WindowSample.objects.bulk_create(
        WindowSample(window=window, at=window.starts_at + length * share, spent=Decimal(str(spent)))
        for share, spent in points
    )


def evenly(window, steps=10, until=0.5):
    sample(window, *((until * n / steps, float(window.spent) * n / steps) for n in range(1, steps)))


def test_a_window_on_a_steep_pace_is_warned_of_once_before_its_soft_threshold():
    window = window_of(Budget.objects.create(feature="support.reply", limit=8, timezone="Europe/Paris"))
    evenly(window)
    forecast_windows()
    made = Forecast.objects.get(window=window)
    assert Decimal("9.5") < made.expected < Decimal("10.5") and made.low < made.expected < made.high
    assert abs(made.runs_out_at - (window.starts_at + timedelta(days=0.8))) < timedelta(minutes=20)
    alert = Alert.objects.get()
    assert (alert.kind, alert.severity, alert.dedup_key) == ("forecast", "warning", f"forecast:{window.id}")
    assert (alert.feature, alert.ends_at, alert.resolved_at) == ("support.reply", window.ends_at, None)
    assert "is expected to come to $" in alert.summary and "of $8; runs out about " in alert.summary
    assert Decimal(alert.detail["expected"]) == made.expected and alert.detail["runs_out_at"]
    Forecast.objects.update(made_at=timezone.now() - timedelta(hours=1))
    forecast_windows()
    assert Alert.objects.count() == 1


def test_the_warning_ends_when_the_pace_has_fallen_well_below_and_does_not_come_twice():
    window = window_of(Budget.objects.create(limit=8))
    evenly(window)
    forecast_windows()
    Budget.objects.update(limit=Decimal("10.5"))
    Forecast.objects.update(made_at=timezone.now() - timedelta(hours=1))
    forecast_windows()
    assert Alert.objects.get().resolved_at is None  # not well below
    for limit, resolved in ((20, True), (8, True)):
        Budget.objects.update(limit=limit)
        Forecast.objects.update(made_at=timezone.now() - timedelta(hours=1))
        forecast_windows()
        assert (Alert.objects.get().resolved_at is not None) is resolved


def test_whoever_has_crossed_the_soft_threshold_is_not_warned_of_what_is_known():
    evenly(window_of(Budget.objects.create(limit=8), spent="6"))
    forecast_windows()
    assert Forecast.objects.get().expected > 8 and not Alert.objects.exists()


def forecast_again():
    Forecast.objects.update(made_at=timezone.now() - timedelta(days=100))
    forecast_windows()


def test_the_lowest_of_several_thresholds_counts_and_without_any_everybody_is_warned():
    several, none = (
        Budget.objects.create(limit=8, feature=f"f{n}", soft_percent=p) for n, p in enumerate(([90, 50], []))
    )
    evenly(window_of(several, spent="5"))
    evenly(window_of(none, spent="7.5"))
    forecast_windows()
    assert Alert.objects.get().feature == "f1"


def test_each_value_is_compared_with_its_own_days_and_named():
    budget = Budget.objects.create(limit=30, each=["tenant"])
    for weeks in (1, 2, 3):
        sample(window_of(budget, days_ago=7 * weeks, spent="100", value="acme"), (0.25, 2), (0.5, 10), (0.75, 60))
        sample(window_of(budget, days_ago=7 * weeks, spent="11", value="umbrella"), (0.25, 5), (0.5, 10), (0.75, 10.5))
    windows = {value: window_of(budget, spent="10", value=value) for value in ("acme", "umbrella", "new")}
    for window in windows.values():
        evenly(window, steps=20)
    forecast_windows()
    made = {value: Forecast.objects.get(window=window) for value, window in windows.items()}
    assert made["acme"].expected > 50 and made["umbrella"].expected < 14
    assert made["new"].note == "From the pace so far."
    alert = Alert.objects.get()
    assert (alert.tenant, alert.feature, alert.detail["value"]) == ("acme", "", "acme")
    assert alert.summary.startswith("The day's budget for tenant acme is expected to come to $")


def test_of_two_fields_the_warning_names_both():
    budget = Budget.objects.create(limit=8, each=["tenant", "feature"], model="m")
    evenly(window_of(budget, value='["support.reply","acme"]'))
    forecast_windows()
    alert = Alert.objects.get()
    assert (alert.tenant, alert.feature) == ("acme", "support.reply")
    assert "for model m, feature support.reply, tenant acme is expected" in alert.summary


def test_a_raise_is_room_for_its_value_alone():
    budget = Budget.objects.create(limit=8, each=["tenant"])
    for value in ("acme", "umbrella"):
        evenly(window_of(budget, value=value))
    BudgetRaise.objects.create(
        budget=budget, value="acme", amount=4, reason="r", by="ada", expires_at=timezone.now() + timedelta(hours=1)
    )
    forecast_windows()
    assert Alert.objects.get().tenant == "umbrella"
    assert {f.window.value for f in Forecast.objects.exclude(runs_out_at=None)} == {"umbrella"}


def test_a_foreign_limit_is_compared_in_us_dollars_and_told_in_both():
    Rate.objects.create(currency="EUR", per_usd=Decimal("0.5"), effective_from="2000-01-01", source="a test")
    for limit in (4, 6):
        budget = Budget.objects.create(limit=limit, currency="EUR", feature=f"f{limit}")
        evenly(window_of(budget, rate=Decimal("0.5")))
    forecast_windows()
    alert = Alert.objects.get()
    assert " of 4 EUR ($8); runs out about " in alert.summary and alert.detail["limit"] == "8.000000000"


def test_fixed_dates_are_told_by_their_pace_and_end_with_their_last_day(admin_client):
    today = timezone.now().date()
    first, last = today - timedelta(days=6), today + timedelta(days=6)
    budget = Budget.objects.create(limit=8, period="range", starts_on=first, ends_on=last)
    starts, ends = budget.window_at(timezone.now())
    window = Window.objects.create(budget=budget, starts_at=starts, ends_at=ends, spent=5)
    evenly(window, until=(timezone.now() - starts) / (ends - starts))
    forecast_windows()
    made = Forecast.objects.get()
    assert made.note == "From the pace so far." and made.expected > 8
    assert f"The budget from {first} to {last} for everything is expected to come to $" in Alert.objects.get().summary
    page = admin_client.get(reverse("admin:tollhouse_budgets_window_changelist")).content.decode()
    assert f"by the end of {last:%a} {last.day} {last:%b}; runs out about " in page


def test_what_was_taken_over_from_another_calendar_is_no_pace():
    window = window_of(Budget.objects.create(limit=100), spent="65", carried=60)
    sample(window, *((share, 60 + share * 10) for share in (0.1, 0.2, 0.3, 0.4)))
    forecast_windows()
    assert 69 < Forecast.objects.get().expected < 71 and not Alert.objects.exists()


def test_earlier_windows_that_only_took_over_tell_nothing():
    budget = Budget.objects.create(limit=100)
    for weeks in (1, 2, 3):
        sample(window_of(budget, days_ago=7 * weeks, spent="60", carried=60), (0.5, 60))
    evenly(window_of(budget))
    forecast_windows()
    assert Forecast.objects.get().note == "From the pace so far."


@pytest.mark.parametrize("values", [{"period": "month"}, {"timezone": "Asia/Tokyo"}, {"active": False}, None])
def test_a_warning_ends_with_its_calendar_its_pause_or_its_budget(values):
    budget, other = Budget.objects.create(limit=8), Budget.objects.create(limit=8, feature="f")
    for one in (budget, other):
        evenly(window_of(one))
    forecast_windows()
    if values:
        Budget.objects.filter(pk=budget.pk).update(**values)
    else:
        budget.retire()
    forecast_again()
    resolved = {a.feature: a.resolved_at is not None for a in Alert.objects.all()}
    assert resolved == {"": True, "f": False}
    assert Forecast.objects.filter(made_at__gt=timezone.now() - timedelta(days=1)).get().window.budget == other


def test_too_little_is_too_early_to_say_and_nobody_is_warned():
    window_of(Budget.objects.create(limit=8))
    forecast_windows()
    made = Forecast.objects.get()
    assert (made.expected, made.note) == (None, "Too early to say.") and not Alert.objects.exists()


def test_the_same_weekday_of_earlier_weeks_tells_that_the_morning_is_quiet():
    budget = Budget.objects.create(limit=1000)
    for weeks in (1, 2, 3):
        past = window_of(budget, days_ago=7 * weeks, spent="100")
        sample(past, (0.25, 2), (0.5, 10), (0.75, 60))
        other = window_of(budget, days_ago=7 * weeks - 1, spent="10")
        sample(other, (0.5, 9))
    window = window_of(budget, spent="10")
    evenly(window, steps=20)
    forecast_windows()
    made = Forecast.objects.get()
    assert 50 < made.expected < 110 and "3 same weekday's windows" in made.note


@pytest.mark.parametrize(("period", "days"), [("week", 7), ("month", 30)])
def test_longer_windows_are_told_by_earlier_ones(period, days):
    budget = Budget.objects.create(limit=1000, period=period)
    length = timedelta(days=days)
    for n in (1, 2, 3):
        evenly(window_of(budget, days_ago=days * n, spent="100", length=length), until=1.0)
    evenly(window_of(budget, spent="50", length=length), steps=24)
    forecast_windows()
    made = Forecast.objects.get(expected__isnull=False)
    assert 90 < made.expected < 115 and "3 earlier windows" in made.note


def test_samples_are_of_windows_that_moved_and_no_more_than_48_in_a_window():
    budget = Budget.objects.create(limit=8)
    window, still = window_of(budget), window_of(Budget.objects.create(limit=8, feature="f"), spent="0")
    forecast_windows()
    forecast_windows()
    assert [s.window_id for s in WindowSample.objects.all()] == [window.id]
    Window.objects.filter(id=window.id).update(spent=6)
    forecast_windows()
    assert WindowSample.objects.count() == 1
    WindowSample.objects.update(at=timezone.now() - timedelta(minutes=31))
    forecast_windows()
    assert [s.spent for s in WindowSample.objects.all()] == [5, 6]
    assert not Forecast.objects.filter(window=still).exists()


def test_what_no_forecast_will_need_is_forgotten():
    budget = Budget.objects.create(limit=8)
    old, recent, ended = (window_of(budget, days_ago=days) for days in (36.6, 7, 3))
    for window in (old, recent):
        evenly(window)
    Forecast.objects.create(window=ended, made_at=timezone.now() - timedelta(days=3), note="x")
    forecast_windows()
    assert set(WindowSample.objects.values_list("window_id", flat=True)) == {recent.id}
    assert not Forecast.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_one_worker_forecasts_at_a_time_and_no_window_is_locked_by_it():
    window = window_of(Budget.objects.create(limit=8))

    def elsewhere(ask):
        try:
            ask()
        finally:
            connections.close_all()

    def lock():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM tollhouse_window WHERE id = %s FOR UPDATE NOWAIT", [window.id])

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            pool.submit(elsewhere, forecast_windows).result()
            assert not WindowSample.objects.exists()
        with transaction.atomic():
            forecast_windows()
            assert WindowSample.objects.exists()
            pool.submit(elsewhere, lock).result()


@pytest.mark.django_db(transaction=True)
def test_the_worker_makes_forecasts():
    window_of(Budget.objects.create(limit=8))
    call_command("worker", once=True)
    assert Forecast.objects.exists()


def test_ten_thousand_windows_cost_a_bounded_number_of_queries_and_rows_a_run():
    now = timezone.now()
    Budget.objects.bulk_create(Budget(limit=100, tenant=f"t{n}") for n in range(10_000))
    ids = list(Budget.objects.values_list("id", flat=True))
    starts, ends = now - timedelta(hours=12), now + timedelta(hours=12)
    Window.objects.bulk_create(Window(budget_id=id, starts_at=starts, ends_at=ends, spent=5) for id in ids)
    with CaptureQueriesContext(connection) as captured:
        forecast_windows()
    assert Forecast.objects.count() == forecasting.MOST_A_RUN and WindowSample.objects.count() == 10_000
    assert len(captured) < 12 + 6 * forecasting.MOST_A_RUN / forecasting.CHUNK
    samples = [
        WindowSample(window_id=id, at=now - timedelta(hours=n), spent=5 - n)
        for id in Window.objects.values_list("id", flat=True)[:2000]
        for n in (1, 2, 3)
    ]
    WindowSample.objects.bulk_create(samples)
    Forecast.objects.all().delete()
    with CaptureQueriesContext(connection) as captured:
        forecast_windows()
    assert Forecast.objects.filter(expected__gt=5).count() == forecasting.MOST_A_RUN
    assert len(captured) < 12 + 6 * forecasting.MOST_A_RUN / forecasting.CHUNK
    for _ in range(4):
        forecast_windows()
    assert Forecast.objects.count() == 10_000


def test_ten_thousand_values_of_one_budget_are_compared_without_reading_those_of_others():
    now = timezone.now()
    budget = Budget.objects.create(limit=100, each=["tenant"])
    for days in (0, 7, 14):
        starts = now - timedelta(hours=12, days=days)
        Window.objects.bulk_create(
            Window(budget=budget, value=f"t{n}", starts_at=starts, ends_at=starts + timedelta(days=1), spent=5)
            for n in range(10_000)
        )
    WindowSample.objects.bulk_create(
        WindowSample(window_id=id, at=now - timedelta(hours=6, days=7), spent=2)
        for id in Window.objects.filter(ends_at__lt=now).values_list("id", flat=True)
    )
    with CaptureQueriesContext(connection) as captured:
        forecast_windows()
    assert Forecast.objects.filter(note__contains="2 same weekday's windows").count() == forecasting.MOST_A_RUN
    assert len(captured) < 12 + 6 * forecasting.MOST_A_RUN / forecasting.CHUNK


def test_a_window_that_is_full_says_so(admin_client):
    evenly(window_of(Budget.objects.create(limit=5)))
    forecast_windows()
    assert "; has run out" in admin_client.get("/admin/").content.decode()


def test_pages_show_the_forecast_in_words(admin_client):
    window = window_of(Budget.objects.create(limit=8, feature="support.reply"))
    evenly(window)
    forecast_windows()
    for page in (
        reverse("admin:tollhouse_budgets_window_changelist"),
        reverse("admin:tollhouse_budgets_window_change", args=[window.id]),
        "/admin/",
    ):
        text = admin_client.get(page).content.decode()
        assert re.search(r"expected \$(10|9\.9\d|10\.\d) \(\d", text) and "by midnight; runs out about " in text, page
