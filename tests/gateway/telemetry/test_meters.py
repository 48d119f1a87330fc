"""`/metrics`: the meters of all processes, which whoever is asked tells alike."""

import math
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from budgets.models import Alert, Budget, Switch, Window
from gateway.conf import TollhouseSettings
from gateway.ledger.database import connection_parameters
from gateway.models import Meter
from gateway.telemetry import gauges, prometheus, store
from gateway.telemetry.names import METRICS
from gateway.telemetry.store import Series, Store

pytestmark = pytest.mark.django_db(transaction=True)
COST = {"tollhouse.feature": "f", "tollhouse.provider": "p", "tollhouse.model": 'm"\n'}


def page():
    return prometheus.render(store.read())


def test_processes_add_up_and_a_restart_goes_on():
    one, other = Store(), Store()
    for process in (one, other, one):
        process.add("tollhouse.cost", 0.25, COST)
        process.add("tollhouse.gate.duration", 0.003, {"tollhouse.feature": "f"})
        process.add("tollhouse.gate.duration", 99, {"tollhouse.feature": "f"})
    assert one.write() and other.write() and one.write()
    restarted = Store()
    restarted.add("tollhouse.cost", 1, dict(reversed(COST.items())))
    assert restarted.write()
    lines = page().splitlines()
    assert 'tollhouse_cost_total{tollhouse_feature="f",tollhouse_model="m\\"\\n",tollhouse_provider="p"} 1.75' in lines
    assert "# TYPE tollhouse_gate_duration_seconds histogram" in lines
    name = "tollhouse_gate_duration_seconds"
    assert f'{name}_bucket{{le="0.002",tollhouse_feature="f"}} 0' in lines
    assert f'{name}_bucket{{le="0.004",tollhouse_feature="f"}} 3' in lines
    assert f'{name}_bucket{{le="+Inf",tollhouse_feature="f"}} 6' in lines
    assert f'{name}_count{{tollhouse_feature="f"}} 6' in lines
    assert f'{name}_sum{{tollhouse_feature="f"}} 297.009' in lines
    assert Meter.objects.count() == 2


def test_gauges_are_of_a_process_and_end_with_it():
    def source():
        return [("tollhouse.breaker.open", 1.0, {"tollhouse.target": "mock/echo"})]

    gauges.add_source(source)
    try:
        assert Store().write()
    finally:
        gauges.remove_source(source)
    assert 'tollhouse_target="mock/echo"' in page()
    Meter.objects.update(at=timezone.now() - timedelta(seconds=store.STALE_S + 1))
    assert page() == "" and Store().write() and not Meter.objects.exists()


def test_what_the_database_did_not_take_is_not_lost(monkeypatch):
    process = Store()
    process.add("tollhouse.cost", 2, COST)
    with psycopg.connect(**connection_parameters()) as other:
        other.execute("ALTER TABLE tollhouse_meter RENAME TO tollhouse_meter_away")
        other.commit()
        assert not process.write() and process.problem == "UndefinedTable"
        process.add("tollhouse.cost", 3, COST)
        other.execute("ALTER TABLE tollhouse_meter_away RENAME TO tollhouse_meter")
        other.commit()
    assert process.write() and process.problem == ""
    assert Meter.objects.get().values == [5.0]


def test_buckets_that_a_release_changed_begin_anew():
    process, said = Store(), {"tollhouse.feature": "f"}
    process.add("tollhouse.gate.duration", 1, said)
    process.write()
    Meter.objects.update(values=[1.0, 2.0])
    assert page() == ""
    process.add("tollhouse.gate.duration", 1, said)
    process.write()
    assert Meter.objects.get().values[-1] == 1


def test_budgets_switches_and_alerts_are_told_as_they_are():
    now = timezone.now()
    tenant = Budget.objects.create(each=["tenant"], limit=10)
    user = Budget.objects.create(each=["user"], limit=4)
    span = {"starts_at": now - timedelta(hours=1), "ends_at": now + timedelta(hours=1)}
    for number in range(gauges.MOST_WINDOWS + 5):
        Window.objects.create(budget=tenant, value=f"t{number}", spent=Decimal(number) / 10, held=1, **span)
        Window.objects.create(budget=user, value=f"person-{number}", spent=1, **span)
    Window.objects.create(
        budget=tenant, value="past", spent=9, starts_at=now - timedelta(days=2), ends_at=now - timedelta(days=1)
    )
    Switch.objects.create(scope="feature", value="f", reason="r")
    Alert.objects.create(kind="breaker", severity="warning", dedup_key="k", summary="s")
    found = gauges.of_product()
    spent = [(said["tollhouse.budget.value"], value) for name, value, said in found if name == "tollhouse.budget.spent"]
    assert len(spent) == gauges.MOST_WINDOWS + 1 and ("t24", 2.4) in spent and ("(the fullest)", 1.0) in spent
    assert not any("person" in value or value == "past" for value, _ in spent)
    shares = {said["tollhouse.budget.value"]: value for name, value, said in found if name == "tollhouse.budget.share"}
    assert shares["t24"] == pytest.approx(0.34)
    assert ("tollhouse.switches.on", 1.0, {"tollhouse.scope": "feature"}) in found
    assert (
        "tollhouse.alerts.open",
        1.0,
        {"tollhouse.alert.kind": "breaker", "tollhouse.alert.severity": "warning"},
    ) in found
    known = {metric.name: set(metric.attributes) for metric in METRICS}
    assert all(set(said) == known[name] and math.isfinite(value) for name, value, said in found)
    text = prometheus.render([Series(name, said, [value]) for name, value, said in found])
    assert "tollhouse_budget_share_ratio{" in text and "tollhouse_holds 0" in text


@pytest.mark.parametrize(
    ("given", "why"),
    [({"METRICS_TOKEN": "short"}, "guessed"), ({"TELEMETRY_DIALECTS": ("x",)}, "known are openinference")],
)
def test_settings_that_cannot_be_meant_are_refused(settings, given, why):
    settings.TOLLHOUSE = given
    with pytest.raises(ImproperlyConfigured, match=why):
        TollhouseSettings()
