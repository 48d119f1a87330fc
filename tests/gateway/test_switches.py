"""Kill switches: every scope, their end by the database's clock, what is noted of them, and the command."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

import gateway
from budgets.models import Alert, Switch
from budgets.rules import Rules, Scope, SwitchRule
from gateway import errors, keys
from gateway.jobs.switches import mark_lifted
from gateway.models import AuditEntry, Call
from gateway.switches import CannotSwitch, database_now, lasting, lift, parse, switch_off
from tests.gateway.ledger.test_overspend import wait_until
from tests.rows import make_call

pytestmark = pytest.mark.django_db(transaction=True)
MESSAGES = [{"role": "user", "content": "hello"}]
NOW = timezone.now()


def off(scope, value="", *, tenant="", lasts=None, **values):
    until = timezone.now() + lasts if lasts else None
    switch = Switch(
        **{"scope": scope, "value": value, "tenant": tenant, "reason": "why", "expires_at": until, **values}
    )
    return switch_off(switch, actor="ada")


def end(switch):
    """Puts the switch's end into the past, as only time does otherwise."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tollhouse_switch SET expires_at = now() - interval '1 second' WHERE id = %s", [switch.pk]
        )


def end_silently(switch):
    """The same, without a word to the processes that have read it."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tollhouse_switch DISABLE TRIGGER tollhouse_revision")
    end(switch)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tollhouse_switch ENABLE TRIGGER tollhouse_revision")


def passes(**caller):
    try:
        gateway.complete("f", messages=MESSAGES, **{"tenant": "acme", "cohort": "beta", "user": 7, **caller})
    except errors.FeatureDisabled:
        return False
    return True


@pytest.mark.parametrize(
    "scope, value, other",
    [
        ("feature", "f", "g"),
        ("tenant", "acme", "umbrella"),
        ("user", "7", "8"),
        ("cohort", "beta", "alpha"),
        ("model", "echo", "other"),
        ("provider", "mock", "elsewhere"),
    ],
)
def test_a_switch_stops_its_own_calls_only(world, scope, value, other):
    world.feature("f")
    ref = keys.user_ref if scope == "user" else str
    off(scope, ref(other))
    assert passes()
    switch = off(scope, ref(value))
    assert not passes()
    lift(Switch.objects.filter(pk=switch.pk), actor="ada", reason="mended")
    assert passes()


def test_a_feature_of_one_tenant(world):
    world.feature("f")
    world.feature("g")
    off("feature", "f", tenant="acme")
    assert not passes() and passes(tenant="umbrella") and passes(tenant="")
    gateway.complete("g", messages=MESSAGES, tenant="acme")
    with pytest.raises(errors.FeatureDisabled, match="feature f of tenant acme is switched off: why"):
        gateway.complete("f", messages=MESSAGES, tenant="acme")


SCOPES = st.builds(
    Scope,
    **dict.fromkeys(
        ("feature", "tenant", "key", "user", "cohort", "model", "provider"), st.sampled_from(["", "a", "b"])
    ),
)
SWITCHES = st.builds(
    SwitchRule, scope=st.sampled_from(["feature", "tenant", "key", "user", "cohort", "model", "provider"]),
    value=st.sampled_from(["a", "b"]), reason=st.just("x"),
    expires_at=st.sampled_from([None, NOW - timedelta(seconds=1), NOW, NOW + timedelta(seconds=1)]),
)  # fmt: skip


@given(scope=SCOPES, switches=st.lists(SWITCHES, unique_by=lambda s: (s.scope, s.value)))
def test_a_call_is_stopped_exactly_by_switches_of_what_it_is_that_are_not_over(scope, switches):
    stopping = [
        s for s in switches if getattr(scope, s.scope) == s.value and (s.expires_at is None or s.expires_at > NOW)
    ]
    rules = Rules(revision=1, budgets=(), switches=switches)
    found = rules.switch_for(scope, NOW)
    assert (found in stopping) if stopping else found is None
    assert all(s.stops(scope) for s in stopping)


def test_a_switch_ends_by_the_database_s_clock_without_a_word_to_anybody(world):
    world.feature("f")
    switch = off("feature", "f", lasts=timedelta(hours=2))
    with pytest.raises(errors.FeatureDisabled) as raised:
        gateway.complete("f", messages=MESSAGES)
    assert f"feature f is switched off until {switch.expires_at:%Y-%m-%d %H:%M:%S} UTC: why" == raised.value.message
    assert 7000 < raised.value.retry_after_s <= 7200
    end_silently(switch)
    # A process that read the switch before has its end with it; one that reads it now leaves it out.
    gateway.engine.stop()
    assert passes()


def test_a_process_that_has_read_a_switch_knows_when_it_ends(world):
    world.feature("f")
    assert passes()
    switch = off("feature", "f", lasts=timedelta(milliseconds=900))
    revision = "SELECT value FROM tollhouse_revision WHERE name = 'rules'"
    with connection.cursor() as cursor:
        cursor.execute(revision)
        before = cursor.fetchone()
        # On a machine that is busy the call itself may take until the end.
        assert not passes() or database_now() > switch.expires_at
        cursor.execute("SELECT pg_sleep(greatest(0, extract(epoch FROM %s - now())))", [switch.expires_at])
        assert passes()
        cursor.execute(revision)
        assert cursor.fetchone() == before


def test_the_job_marks_it_lifted_once_with_an_entry_and_the_alert_resolved():
    switch, other = off("feature", "f", lasts=timedelta(hours=1)), off("feature", "g", lasts=timedelta(hours=1))
    end(switch)
    for _ in range(2):
        mark_lifted()
    switch.refresh_from_db()
    assert (switch.lifted_by, switch.lifted_at) == ("expiry", switch.expires_at)
    [entry] = AuditEntry.objects.filter(action="switch.expire")
    assert (entry.actor, entry.subject) == ("expiry", "switch feature f")
    assert Alert.objects.get(dedup_key=f"switch:{switch.pk}").resolution == "Its time was over."
    assert Alert.objects.get(dedup_key=f"switch:{other.pk}").resolved_at is None
    other.refresh_from_db()
    assert other.lifted_at is None


def test_setting_and_lifting_are_audited_and_open_and_resolve_an_alert():
    led = Alert.objects.create(kind="x", severity="warning", dedup_key="x", summary="x")
    until = timezone.now() + timedelta(hours=1)
    switch = switch_off(
        Switch(scope="feature", value="f", tenant="acme", reason="wild", expires_at=until, running="cut"),
        actor="ada",
        because=led,
    )
    alert = Alert.objects.get(dedup_key=f"switch:{switch.pk}")
    assert (alert.kind, alert.severity, alert.feature, alert.tenant, alert.ends_at) == (
        "switch",
        "warning",
        "f",
        "acme",
        until,
    )
    assert alert.summary == "feature f of tenant acme is switched off by ada: wild"
    assert alert.detail == {"switch": switch.pk, "scope": "feature", "value": "f", "tenant": "acme", "reason": "wild", "by": "ada",
                            "until": until.isoformat(), "running": "cut"}  # fmt: skip
    lift(Switch.objects.all(), actor="bob", reason="mended")
    alert.refresh_from_db()
    assert alert.resolved_at is not None and alert.resolution == "Lifted by bob: mended"
    switch.refresh_from_db()
    assert (switch.lifted_by, switch.lift_reason) == ("bob", "mended")
    entries = AuditEntry.objects.order_by("id")
    assert [(e.actor, e.action, e.subject, e.reason) for e in entries] == [
        ("ada", "switch.set", "switch feature f of tenant acme", "wild"),
        ("bob", "switch.lift", "switch feature f of tenant acme", "mended"),
    ]
    assert entries[0].detail["alert"] == led.pk
    assert lift(Switch.objects.all(), actor="bob", reason="again") == []


def test_one_is_in_force_for_each_scope_unless_it_is_replaced():
    first = off("feature", "f")
    with pytest.raises(
        CannotSwitch, match=r"feature f is switched off already, since .* by ada: “why”. Lift that one first"
    ):
        off("feature", "f")
    off("feature", "f", tenant="acme")
    second = switch_off(Switch(scope="feature", value="f", reason="worse", running="cut"), actor="bob", replace=True)
    first.refresh_from_db()
    assert (first.lifted_by, first.lift_reason) == ("bob", "Replaced by another switch.")
    end(off("tenant", "acme", lasts=timedelta(hours=1)))
    assert off("tenant", "acme").lifted_at is None
    assert second in Switch.objects.in_force() and Switch.objects.in_force().count() == 3


def test_a_switch_that_cannot_be_is_refused_and_leaves_nothing():
    for scope, value, words, values in (
        ("feature", "f", "is over already", {"lasts": timedelta(seconds=-5)}),
        ("tenant", "acme", "narrows a feature down", {"tenant": "umbrella"}),
        ("everything", "f", "Leave this empty for everything", {}),
        ("feature", "", "Leave this empty for everything", {}),
        ("feature", "f", "cannot be blank", {"reason": ""}),
    ):
        with pytest.raises(CannotSwitch, match=words):
            off(scope, value, **values)
    assert not Switch.objects.exists() and not Alert.objects.exists() and not AuditEntry.objects.exists()


def run(*words):
    out, err = StringIO(), StringIO()
    call_command("switch", *words, stdout=out, stderr=err)
    return out.getvalue() + err.getvalue()


def test_the_command_switches_off_and_on(world, monkeypatch):
    monkeypatch.setenv("LOGNAME", "oncall")
    world.feature("f")
    make_call(tenant="acme")
    assert run("list") == "Nothing is switched off.\n"
    assert run("off", "feature:f", "--reason", "wild", "--for", "2h", "--cut").startswith(
        "feature f is switched off until 2"
    )
    switch = Switch.objects.get()
    assert (switch.set_by, switch.running) == ("oncall", "cut")
    assert timedelta(hours=1, minutes=59) < switch.expires_at - timezone.now() <= timedelta(hours=2)
    assert "feature f  off since" in run("list") and "by oncall  wild  cuts calls under way" in run("list")
    assert not passes()
    assert run("on", "feature:f", "--reason", "mended") == "feature f is on again.\n"
    assert "lifted by oncall: mended" in run("list", "--all")
    assert set(AuditEntry.objects.values_list("actor", flat=True)) == {"oncall"}
    assert "until it is lifted" in run("off", "feature:f,tenant:acme", "--reason", "x")
    assert Switch.objects.in_force().get().tenant == "acme"
    run("off", "everything", "--reason", "x", "--until", "2099-01-01T00:00+01:00")


@pytest.mark.parametrize(
    "words, said",
    [
        (
            ("off", "feature:suport.reply", "--reason", "x"),
            "No feature is named suport.reply. Did you mean support.reply?",
        ),
        (("off", "key:x", "--reason", "x"), "No API key is named x."),
        (("off", "featur:f", "--reason", "x"), "'featur' is no scope. Did you mean feature?"),
        (("off", "feature", "--reason", "x"), "Write the name too: feature:NAME"),
        (("off", "feature:f,tenant:", "--reason", "x"), "Write the tenant's name too"),
        (("off", "everything:f", "--reason", "x"), "everything has no name behind it"),
        (("off", "everything"), "--reason"),
        (("off", "everything", "--reason", "x", "--for", "2 weeks"), "'2 weeks' is no time; write e.g. 30m, 2h, 1d12h"),
        (("off", "everything", "--reason", "x", "--until", "noon"), "'noon' is no time"),
        (("off", "everything", "--reason", "x", "--until", "2020-01-01"), "is over already"),
        (("on", "everything", "--reason", "x"), "everything is not switched off. Switched off: nothing."),
    ],
)
def test_the_command_says_what_to_do(world, words, said):
    world.feature("support.reply")
    with pytest.raises(CommandError) as raised:
        run(*words)
    assert said in str(raised.value) and not Switch.objects.exists()


def test_the_command_warns_of_a_tenant_that_nobody_heard_of():
    make_call(tenant="acme", user_ref="0f3a")
    assert "No call has come from the tenant amce lately" in run("off", "tenant:amce", "--reason", "x")
    assert "No call has come" not in run("off", "tenant:acme", "--reason", "x")
    assert "No call has come from the user reference 0f3b lately" in run(
        "off", "user:0f3b", "--reason", "x", "--replace"
    )


@pytest.mark.parametrize("text, seconds", [("90s", 90), ("30m", 1800), ("1d12h", 129_600)])
def test_a_time_is_written_with_its_units(text, seconds):
    assert lasting(text).total_seconds() == seconds


@given(st.text(max_size=8))
def test_any_other_text_is_no_time(text):
    try:
        assert timedelta(0) < lasting(text)
    except ValueError as error:
        assert "write e.g. 30m" in str(error)


@given(st.text(max_size=12))
def test_whatever_is_named_is_a_scope_or_an_error(text):
    try:
        switch = parse(text)
    except CannotSwitch as error:
        assert str(error)
    else:
        assert switch.scope in Switch.Scope.values and (switch.scope == "everything") == (switch.value == "")


def test_a_stream_in_python_is_cut_while_nobody_asks_for_its_next_piece(world, provider):
    world.feature("f")
    provider.pause_s = 0.02
    stream = gateway.stream("f", messages=[{"role": "user", "content": "word " * 400}])
    assert [next(stream).events for _ in range(3)]
    off("everything", running="cut")
    wait_until(lambda: not provider.serving)
    with pytest.raises(errors.CallCut, match="cut off, as everything is switched off: why") as raised:
        list(stream)
    call = Call.objects.get()
    assert (raised.value.call_id, call.outcome) == (call.id, "cancelled") and stream.reply is None
    assert isinstance(raised.value, errors.FeatureDisabled)


def test_rows_of_refused_calls_have_the_reason(world):
    world.feature("f")
    off("cohort", "beta", reason="The beta is over")
    assert not passes()
    assert Call.objects.get().reason == "cohort beta is switched off: The beta is over"
