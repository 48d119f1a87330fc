"""The product's own server while something is broken; docs/degradation.md says what it does then."""

import json
import re
import time
import urllib.error
import urllib.request
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.test import override_settings

from budgets.models import Budget, Window
from gateway.configuration.export import export
from gateway.models import Call, Feature, Worker
from tests.proxy import DatabaseProxy
from tests.server import ROOT, Server

IMPATIENT = {
    "TOLLHOUSE_LEDGER_TIMEOUT_S": "0.5",
    "TOLLHOUSE_OWNER_HEARTBEAT_S": "0.1",
    "TOLLHOUSE_CATALOG_POLL_S": "0.5",
}


@pytest.fixture
def proxy(transactional_db):
    with DatabaseProxy() as found:
        yield found


def ask(server, key, model, *, stream=False):
    """Status and text of a call's answer."""
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
    request = urllib.request.Request(
        f"{server.url}/v1/chat/completions", json.dumps(body).encode(), {"authorization": f"Bearer {key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ready(server):
    try:
        with urllib.request.urlopen(f"{server.url}/readyz", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def until(condition):
    deadline = time.monotonic() + 20
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("killed", [False, True])
def test_a_server_spools_while_the_database_is_away_and_no_call_is_lost(world, proxy, tmp_path, killed):
    world.feature("spools", on_ledger_away="spool", spool_limit_usd=1)
    world.feature("refuses")
    Budget.objects.create(limit=10)
    key = world.key()
    server = Server(DATABASE_URL=proxy.url, TOLLHOUSE_SPOOL_DIR=str(tmp_path), **IMPATIENT)
    try:
        until(lambda: ready(server)[1]["spool"] == {"bytes": 0, "calls": 0, "full": False} and list(tmp_path.iterdir()))
        assert ask(server, key, "spools")[0] == 200
        until(Call.objects.exists)
        proxy.cut()
        status, text = ask(server, key, "spools")
        assert status == 200 and "hello" in text
        status, text = ask(server, key, "spools", stream=True)
        assert status == 200 and text.endswith("data: [DONE]\n\n")
        status, text = ask(server, key, "refuses")
        assert status == 503 and "ledger_unavailable" in text
        status, told = until(lambda: (found := ready(server))[1]["problem"] and found)
        assert (status, told["status"]) == (200, "spooling") and told["spool"]["bytes"]
        if killed:
            server.kill()
            with override_settings(TOLLHOUSE={"SPOOL_DIR": str(tmp_path)}):
                call_command("worker", once=True)
        proxy.mend()
        until(lambda: Call.objects.filter(feature="spools", spooled=True).count() == 2)
        calls = Call.objects.filter(feature="spools")
        assert {call.outcome for call in calls} == {"ok"} and calls.count() == 3
        assert Window.objects.get().spent == sum(call.cost_usd for call in calls) > 0
    finally:
        if not killed:
            server.stop()
    assert list(tmp_path.iterdir()) == []


def test_without_a_spool_directory_a_feature_that_spools_is_refused(world, proxy):
    world.feature("spools", on_ledger_away="spool", spool_limit_usd=1)
    key = world.key()
    server = Server(DATABASE_URL=proxy.url, **IMPATIENT)
    try:
        assert ask(server, key, "spools")[0] == 200
        proxy.cut()
        assert ask(server, key, "spools")[0] == 503
        assert ready(server)[0] == 503
    finally:
        proxy.mend()
        server.stop()


def test_without_a_worker_calls_pass_and_everybody_is_told(world, server, admin_client, capsys):
    world.feature("f")
    key = world.key()
    server.catch_up()
    assert ask(server, key, "f")[0] == 200
    until(lambda: "No worker has run yet." in ready(server)[1]["warnings"])
    assert ready(server)[0] == 200
    assert "No worker has run yet" in admin_client.get("/admin/").content.decode()
    assert "tollhouse.W009" in checks(capsys)
    call_command("worker", once=True)
    until(lambda: not any("worker" in warning for warning in ready(server)[1]["warnings"]))
    assert "No worker has run" not in admin_client.get("/admin/").content.decode()
    assert "tollhouse.W009" not in checks(capsys)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tollhouse_worker SET seen_at = now() - interval '20 minutes'")
    until(lambda: "No worker has run for 20 minutes." in ready(server)[1]["warnings"])
    assert "No worker has run for 20 minutes" in admin_client.get("/admin/").content.decode()
    assert "tollhouse.W009" in checks(capsys)
    assert Worker.objects.count() == 1


def checks(capsys):
    call_command("check", databases=["default"])
    return capsys.readouterr().err


CATALOG = """
[policies.default]
outbound = "off"

[providers.box]
kind = "sandbox"

[routes.fast]
targets = ["box/echo"]

[features.f]
route = "fast"
on_ledger_away = "spool"
spool_limit_usd = 2.5
on_disconnect = "drain"
"""


@pytest.mark.django_db(transaction=True)
def test_a_catalog_file_says_it_and_an_export_says_it_again(tmp_path):
    for text in (CATALOG, None):
        path = tmp_path / "catalog.toml"
        path.write_text(text or export(with_secrets=False))
        call_command("catalog", "apply", str(path))
        feature = Feature.objects.get()
        assert (feature.on_ledger_away, feature.spool_limit_usd, feature.on_disconnect) == (
            "spool",
            Decimal("2.5"),
            "drain",
        )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("spool_limit_usd = 2.5\n", "", "needs a spool limit above zero"),
        ("spool_limit_usd = 2.5", "spool_limit_usd = 0", "greater than or equal to"),
        ('"spool"', '"sometimes"', "is not a valid choice"),
        ('"drain"', '"sometimes"', "is not a valid choice"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, capsys, before, after, words):
    path = tmp_path / "catalog.toml"
    path.write_text(CATALOG.replace(before, after))
    with pytest.raises(SystemExit):
        call_command("catalog", "apply", str(path))
    assert words in capsys.readouterr().err
    assert not Feature.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_feature_that_spools_nowhere_is_an_error_of_the_checks(tmp_path, capsys):
    (tmp_path / "catalog.toml").write_text(CATALOG)
    call_command("catalog", "apply", str(tmp_path / "catalog.toml"))
    with pytest.raises(SystemCheckError, match=r"E015.*there is no SPOOL_DIR"):
        call_command("check", databases=["default"])
    with override_settings(TOLLHOUSE={"SPOOL_DIR": str(tmp_path)}):
        call_command("check", databases=["default"])


def test_every_line_of_the_page_names_tests_that_exist():
    page = (ROOT / "docs" / "degradation.md").read_text()
    table = page[page.index("| what breaks") :].partition("\n\n")[0].splitlines()[2:]
    named = [re.findall(r"`(test_\w+)`", line) for line in table]
    assert len(table) >= 10 and all(named)
    written = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for names in named for name in names if f"def {name}(" not in written] == []
