"""Checks tell what is wrong before a call finds out."""

import subprocess
import sys
import warnings

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections

from budgets.models import Budget, RateLimit
from gateway.conf import settings as configured
from gateway.middleware import ContextMiddleware
from gateway.models import Feature, Key, Provider, Route, Target, Variant
from tests.server import ROOT
from tests.world import World


def told(*, database=False, deploy=False):
    """The ids of what the checks say of the gate, each with its text."""
    found = run_checks(databases=["default"] if database else None, include_deployment_checks=deploy)
    return {m.id.removeprefix("tollhouse."): f"{m.msg} {m.hint}" for m in found if m.id.startswith("tollhouse.")}


def test_a_wrong_setting_is_an_error(settings):
    settings.TOLLHOUSE = {"ALOW_PRIVATE": True}
    with pytest.raises(SystemCheckError, match=r"E001.*'ALOW_PRIVATE'.* is not a setting"):
        call_command("check")
    assert "E001" in told(deploy=True)


@pytest.mark.parametrize(
    "given, words",
    [
        (None, "must be a dict"),
        (["PEPPER"], "must be a dict"),
        ({"PEPER": "p"}, "did you mean PEPPER?"),
        ({"PEPPER": b"very secret"}, "must be of type str, not bytes"),
        ({"ENCRYPTION_KEYS": "very secret"}, "must be a list of texts"),
        ({"ENCRYPTION_KEYS": [b"very secret"]}, "must be a list of texts"),
        ({"ENCRYPTION_KEYS": [""]}, "must be a list of texts"),
        ({"TELEMETRY_DIALECTS": [["x"]]}, "must be a list of texts"),
        ({"RETENTION_DAYS": [90]}, "must be a list of texts"),
        ({"MAX_BODY_BYTES": True}, "must be of type int, not bool"),
        ({"CATALOG_POLL_S": 0}, "must be more than 0"),
        ({"LEDGER_TIMEOUT_S": float("nan")}, "must be more than 0"),
        ({"REDACTION_THREADS": 0}, "must be more than 0"),
        ({"MAX_DRAINS": -1}, "must be 0 or more"),
        ({"OWNER_DEAD_AFTER_S": 5}, "must be more than OWNER_HEARTBEAT_S"),
        ({"USER_REF": "palin"}, "must be hash or plain"),
        ({"REDACTION_MODEL_AWAY": "builtin"}, "must be refuse or built-in"),
        ({"REPORTING_CURRENCY": "euro"}, "a code of three letters"),
        ({"CACHE_URL": "memcached://me:very secret@host"}, "begin with redis://"),
    ],
)
def test_a_setting_that_cannot_be_is_told_without_its_value(settings, given, words):
    settings.TOLLHOUSE = given
    found = told(deploy=True)["E001"]
    assert words in found and "very secret" not in found


def test_settings_may_be_lists(settings):
    settings.TOLLHOUSE = {"ENCRYPTION_KEYS": ["new", "old"], "MAX_DRAINS": 0, "OWNER_DEAD_AFTER_S": 60}
    assert told() == {} and configured().ENCRYPTION_KEYS == ("new", "old")


def test_a_project_without_a_secret_key_is_told(settings):
    settings.SECRET_KEY = ""
    assert "Set SECRET_KEY" in told()["E007"]


class Own(ContextMiddleware):
    """As a project may have it."""


USERS, OURS = "django.contrib.auth.middleware.AuthenticationMiddleware", "gateway.middleware.ContextMiddleware"


@pytest.mark.parametrize(
    "path, middleware, ids",
    [
        ("os.sep", [USERS, OURS], {"E008"}),
        ("no.such.thing", [USERS, OURS], {"E008"}),
        ("os.path.join", [USERS], {"W010"}),
        ("os.path.join", [OURS, USERS], {"W011"}),
        ("os.path.join", [USERS, f"{__name__}.Own"], set()),
        ("", [USERS], set()),
    ],
)
def test_what_says_whose_calls_are_is_in_its_place(settings, path, middleware, ids):
    settings.TOLLHOUSE, settings.MIDDLEWARE = {"REQUEST_CONTEXT": path}, middleware
    assert set(told()) == ids


@pytest.mark.django_db
def test_what_is_in_order_is_passed_over(settings):
    settings.TOLLHOUSE = {"PEPPER": "p", "ENCRYPTION_KEYS": ("k",)}
    world = World("https://x.example.com/v1")
    world.prompt(world.feature("f"), {"messages": [{"role": "user", "content": "x"}]})
    world.key(default_feature="f")
    Budget.objects.create(metric="usd", period="day", limit=1, on_hard="route:f")
    assert told(database=True, deploy=True) == {}


@pytest.mark.parametrize(
    "name, value, id, words",
    [
        ("USE_TZ", False, "E006", "USE_TZ is off"),
        ("INSTALLED_APPS", lambda apps: sorted(apps, key="dashboards.apps.DashboardsConfig".__eq__), "E005", "Put dashboards before"),
    ],
)  # fmt: skip
def test_djangos_settings(settings, name, value, id, words):
    setattr(settings, name, value(settings.INSTALLED_APPS) if callable(value) else value)
    assert words in told()[id]


def test_a_database_that_is_another(settings):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Overriding setting DATABASES")
        before = connections["default"]
        other = connections.create_connection("default")
        other.vendor = "sqlite"
        connections["default"] = other
        try:
            assert "needs PostgreSQL" in told()["E002"] and "E003" not in told(database=True)
        finally:
            connections["default"] = before


@pytest.mark.django_db
def test_a_database_that_is_too_old(monkeypatch):
    monkeypatch.setattr("gateway.checks.OLDEST_POSTGRES", 990_000)
    assert "is too old" in told(database=True)["E003"] and "E003" not in told()


def test_a_transaction_around_every_view(settings):
    settings.DATABASES["default"]["ATOMIC_REQUESTS"] = True
    try:
        assert "keeps its transaction open" in told()["W002"]
    finally:
        settings.DATABASES["default"]["ATOMIC_REQUESTS"] = False


def test_defaults_for_one_machine_are_pointed_out_before_production(settings):
    settings.TOLLHOUSE = {"ALLOW_PRIVATE_UPSTREAMS": True}
    assert told() == {}
    assert {"W003", "W004"} <= set(told(deploy=True))
    settings.DEBUG = True
    assert not {"W003", "W004"} & set(told(deploy=True))


def no_target(world):
    Target.objects.all().delete()


def unknown_kind(world):
    Provider.objects.update(kind="openia")


def missing_package(world):
    world.kind("litellm")


def missing_model(world):
    Feature.objects.update(policy=world.policy("p"))


def default_of_nothing(world):
    world.key(name="k", default_feature="gone")


def limit_of_nothing(world):
    RateLimit.objects.create(feature="gone", requests_per_minute=1)


def limit_of_no_key(world):
    RateLimit.objects.create(key="gone", requests_per_minute=1)


def limit_too_small(world):
    RateLimit.objects.create(tokens_per_minute=100, burst_s=30, each="tenant")


def divert_to_nothing(world):
    Budget.objects.create(metric="usd", period="day", limit=1, on_hard="route:gone")


def no_rate(world):
    Budget.objects.create(metric="usd", period="day", limit=1, currency="EUR")


def nothing_live(world):
    world.prompt(Feature.objects.get(), {"messages": [{"role": "user", "content": "x"}]})
    Variant.objects.all().delete()


def no_price(world):
    Target.objects.update(model="nameless")


def no_price_under_a_budget(world):
    Target.objects.update(model="nameless")
    Feature.objects.update(unpriced="flag")
    Budget.objects.create(metric="usd", period="day", limit=1, feature="f")


def no_key(world):
    Provider.objects.update(api_key_env="NO_SUCH_API_KEY")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "spoil, id, words",
    [
        (no_target, "E010", "The route f has no target"),
        (unknown_kind, "E011", "mock is of the kind 'openia'"),
        (missing_package, "E012", "needs the package litellm"),
        (missing_model, "E013", "model 'no_such_model', which the policy p needs"),
        (default_of_nothing, "W005", "The key k has the default feature gone"),
        (divert_to_nothing, "W006", "diverts to route:gone"),
        (no_rate, "E014", "is in EUR, for which there is no rate"),
        (limit_of_nothing, "W015", "names the feature gone, which does not exist"),
        (limit_of_no_key, "W015", "names the key gone, which does not exist"),
        (limit_too_small, "W016", "lets 50 tokens through at once; calls of f may need more"),
        (nothing_live, "W007", "The prompt of f has no live version"),
        (no_price, "W008", "No price is known for mock/nameless, so calls of f"),
        (no_price_under_a_budget, "W008", "No price is known for mock/nameless, so calls of f"),
        (no_key, "W001", "The provider mock has no key in this environment. Set NO_SUCH_API_KEY"),
    ],
)  # fmt: skip
def test_what_is_configured_is_looked_at_where_the_database_is(settings, monkeypatch, spoil, id, words):
    settings.TOLLHOUSE = {"REDACTION_MODEL": "no_such_model"}
    monkeypatch.setitem(sys.modules, "litellm", None)
    world = World("https://x.example.com/v1")
    world.feature("f")
    assert told(database=True) == {}
    spoil(world)
    assert words in told(database=True)[id] and told() == {}


@pytest.mark.django_db
def test_rows_that_nobody_uses_are_left_alone():
    world = World("https://x.example.com/v1")
    Route.objects.create(name="spare")
    world.policy("p")
    world.key(name="k", default_feature="gone")
    Key.objects.update(revoked_at="2026-01-01T00:00:00Z")
    Budget.objects.create(metric="usd", period="day", limit=1, on_hard="route:gone", active=False)
    assert told(database=True) == {}


@pytest.mark.django_db
def test_a_provider_whose_variable_is_not_allowed_is_a_warning():
    Provider.objects.create(name="p", kind="openai", base_url="https://x.example.com/v1", api_key_env="PATH")
    assert "the variable PATH may not hold a provider's key" in told(database=True)["W001"]


PROJECT = """
import sys, django
from django.conf import settings
settings.configure(
    SECRET_KEY="x", USE_TZ=True, DATABASES={"default": {"ENGINE": "django.db.backends." + sys.argv[1], "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.postgres", *sys.argv[2].split()],
)
django.setup()
from django.core.management import call_command
call_command("check")
"""


def checked(engine: str, *apps: str) -> str:
    """What a project with this database and these apps beside Django's own is told by its checks."""
    command = [sys.executable, "-c", PROJECT, engine, " ".join(apps)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return found.stdout + found.stderr


def test_a_project_on_another_database_is_told_that_it_needs_postgresql():
    told = checked("sqlite3", "gateway", "budgets", "redaction")
    assert "tollhouse.E002" in told and "needs PostgreSQL as the database `default`, which is sqlite" in told


def test_a_project_without_an_app_that_the_gate_needs_is_told_which():
    assert 'Add "budgets" to INSTALLED_APPS; the gate needs it.' in checked("postgresql", "gateway", "redaction")


@pytest.mark.parametrize(
    "apps, missing",
    [
        (["dashboards", "gateway", "budgets", "redaction"], "django.contrib.admin"),
        (["dashboards", "django.contrib.admin", "django.contrib.messages"], "gateway"),
    ],
)
def test_dashboards_without_what_they_need_are_told_which(apps, missing):
    assert f'Add "{missing}" to INSTALLED_APPS; the dashboards need it.' in checked("postgresql", *apps)


def test_pages_that_would_have_no_style_are_told():
    apps = ["django.contrib.admin", "django.contrib.messages", "gateway", "budgets", "redaction", "dashboards"]
    assert "tollhouse.E005" in checked("postgresql", *apps)
    assert "tollhouse.E005" not in checked("postgresql", "dashboards", *apps[:-1])
