"""Fixtures for every test."""

from pathlib import Path

import psycopg
import pytest
from asgiref.sync import SyncToAsync
from django.db import connection, connections
from hypothesis import HealthCheck, settings

from deploy.postgres import ROLE, allow_server
from gateway import engine
from gateway.explorer import search
from tests.provider import MockProvider
from tests.server import EMBEDDED, Server
from tests.world import World

#: Files that take longest, 15 seconds and more, the longest first.
LONGEST = (
    "docs/test_blocks.py", "e2e/test_every_page.py", "e2e/test_admin.py", "gateway/ledger/test_rates_race.py", "clients/test_chat_clients.py",
    "gateway/test_degradation.py", "gateway/ledger/test_overspend.py", "e2e/test_dashboards.py", "budgets/test_delivery.py",
    "budgets/channels/test_apprise.py", "e2e/test_on_call.py", "gateway/http/test_switches.py", "gateway/http/test_overspend.py",
    "e2e/test_prompts.py", "e2e/test_switches.py", "budgets/test_forecasting.py", "gateway/http/test_rate_limits.py",
    "dashboards/test_rollups.py", "e2e/test_feature_spend.py", "gateway/http/test_data_plane.py",
    "gateway/providers/test_hostile.py", "e2e/test_alerts.py", "gateway/test_drain.py", "clients/test_responses_clients.py",
    "gateway/test_nothing_raw.py", "gateway/ledger/test_writer.py",
)  # fmt: skip

# A test of a property goes by what it finds and never by the clock: on a machine that is busy one example may take as long as
# a second, and that says nothing of the product.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_collection_modifyitems(items):
    """The longest files first: workers take them in this order (with `--no-loadscope-reorder`), and one that came last would
    be waited for while the others have nothing left to do.
    """
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """The test database, which servers may use as the role that owns nothing, and in which the tests' `flush` may have
    triggers rest.
    """
    if not EMBEDDED:
        return
    with django_db_blocker.unblock():
        known = connection.get_connection_params()
    superuser = {name: known[name] for name in ("host", "port", "dbname") if known.get(name)}
    everyone = {**superuser, "dbname": "postgres"}
    with psycopg.connect(**everyone, user="postgres") as turn, psycopg.connect(**superuser, user="postgres") as admin:
        # Workers of one run do it at the same time, to one row of the server's catalog. A lock is of a database, so it is taken
        # in one that is there for all of them.
        turn.execute("SELECT pg_advisory_xact_lock(hashtext('tests: flush'))")
        admin.execute(f"GRANT SET ON PARAMETER session_replication_role TO {ROLE}")
        allow_server(admin)
    with psycopg.connect(**superuser, user="postgres", autocommit=True) as admin:
        # What it saw of the rows of one test would have the planner go wrong in the next, now and then.
        admin.execute("ALTER SYSTEM SET autovacuum_analyze_threshold = 2000000000")
        admin.execute("SELECT pg_reload_conf()")


@pytest.fixture(autouse=True)
def closed_connections():
    """Closes the connection of the thread in which asynchronous tests use the ORM, so that the database can be dropped."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


@pytest.fixture(scope="session", autouse=True)
def searches_end():
    """Searches for calls get all the time that they need. On a machine that is busy the product's own would end some of them
    before they found what a test looks for; what such a search does is tested with less.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BUDGET_S", 30.0)
        yield


@pytest.fixture(scope="session")
def mock_provider():
    with MockProvider() as provider:
        yield provider


@pytest.fixture
def provider(mock_provider):
    """The mock provider, with nothing remembered."""
    mock_provider.requests.clear()
    mock_provider.headers.clear()
    mock_provider.failed.clear()
    mock_provider.cancelled = mock_provider.most_at_once = 0
    mock_provider.pause_s = 0.0
    mock_provider.says = ""
    return mock_provider


@pytest.fixture
def world(transactional_db, provider):
    """A configured world on a real database; the engine that a test starts is closed after it."""
    yield World(provider.base_url)
    engine.stop()


@pytest.fixture(scope="session")
def running_server(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        server = Server()
    yield server
    server.stop()


@pytest.fixture
def server(world, running_server):
    """The product's server on the test's world; call `server.catch_up()` after configuring."""
    return running_server
