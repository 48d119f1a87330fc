"""Exports of calls on their pages: at once and in the background, for whom, and what is noted of them."""

import asyncio
import csv
import io
import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.test import AsyncClient, Client
from django.urls import reverse
from django.utils import timezone

from gateway.admin import exports
from gateway.explorer.background import make_waiting
from gateway.explorer.export import COLUMNS
from gateway.models import Adjustment, AuditEntry, Export, TenantLimit
from gateway.privacy import subject
from tests.rows import make_call

pytestmark = pytest.mark.django_db
ASK = "/admin/tollhouse_gateway/call/export/"


def client(*tenants, codes=("view_call", "export_call")):
    user = User.objects.create_user(f"u{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    if tenants:
        TenantLimit.objects.create(user=user, tenants=list(tenants))
    found = Client()
    found.force_login(user)
    return found


def now(found, format, columns=COLUMNS, query=""):
    return found.post(f"{ASK}?{query}", {"columns": columns, "format": format})


def later(found, columns=("id", "tenant"), query="since=7d", format="later-csv"):
    answer = now(found, format, columns, query)
    assert answer.status_code == 302, answer.context["form"].errors
    return Export.objects.get(pk=answer.headers["location"].split("/")[-3])


def address(export, name):
    return reverse(f"admin:tollhouse_gateway_export_{name}", args=[export.pk])


def test_a_file_at_once_has_the_chosen_columns_of_the_calls_that_the_list_shows():
    ada = client()
    call = make_call(
        tenant="=1+1", cost_usd=Decimal("0.000000001"), labels={"a": "=b"}, payload={"messages": [{"content": "said"}]}
    )
    Adjustment.objects.bulk_create([Adjustment(call_id=call.id, cost_usd=Decimal("-0.5"), reason="late", actor="x")])
    make_call(outcome="timeout", cost_usd=None)
    listed = ada.get("/admin/tollhouse_gateway/call/?q=outcome:ok&since=7d").content.decode()
    assert f'href="{ASK}?q=outcome%3Aok&amp;since=7d"' in listed
    answer = now(ada, "csv", query="q=outcome:ok&since=7d")
    [row] = csv.DictReader(io.StringIO(answer.content.decode()))
    assert list(row) == list(COLUMNS) and "said" not in answer.content.decode()
    assert (row["id"], row["tenant"], row["cost_usd"]) == (str(call.id), "'=1+1", "0.000000001")
    assert Decimal(row["adjusted_usd"]) == Decimal("-0.5")
    assert row["started_at"] == call.started_at.isoformat().replace("+00:00", "Z")
    assert (
        ".csv" in answer.headers["content-disposition"] and answer.headers["content-type"] == "text/csv; charset=utf-8"
    )
    rows = json.loads(now(ada, "json", ["tenant", "id", "labels"], "since=7d").content)
    assert rows[1] == {"id": str(call.id), "tenant": "=1+1", "labels": {"a": "=b"}}
    openpyxl = pytest.importorskip("openpyxl")
    sheet = openpyxl.load_workbook(io.BytesIO(now(ada, "xlsx", query="since=7d").content)).active
    cells = dict(zip(COLUMNS, list(sheet.iter_rows())[2], strict=True))
    assert cells["tenant"].value == "'=1+1" and cells["tenant"].data_type != "f"
    assert cells["cost_usd"].value == 1e-9 and cells["input_tokens"].value == 1200
    assert abs(cells["started_at"].value - call.started_at.replace(tzinfo=None)) < timedelta(seconds=1)
    entry = AuditEntry.objects.filter(action="call.export").earliest("id")
    assert entry.detail["rows"] == 1 and entry.detail["query"] == "outcome:ok" and entry.detail["format"] == "csv"
    # Nobody can take a person's reference out of the audit log again.
    now(ada, "csv", query="q=feature:f+user:0f3a,%220f%204b%22+-user_ref:0f5c+since:7d")
    masked = [f'"{subject(ref)}"' for ref in ("0f3a", "0f 4b", "0f5c")]
    query = AuditEntry.objects.latest("id").detail["query"]
    assert query == f"feature:f user:{masked[0]},{masked[1]} -user_ref:{masked[2]} since:7d"


def test_too_many_are_not_cut_off(monkeypatch):
    monkeypatch.setattr(exports, "MOST_ROWS", 2)
    ada = client()
    for _ in range(3):
        make_call()
    monkeypatch.setattr(exports, "LOOK_S", -1.0)
    for message, query in (("More than 2 calls fit", "attempts:1"), ("to look through all calls", "attempts:9")):
        answer = now(ada, "csv", query=f"q={query}")
        text = answer.content.decode()
        assert answer.status_code == 200 and message in text and "in the background" in text
    assert not AuditEntry.objects.exists()
    for columns, format in (([], "csv"), (["id", "content"], "csv"), (["id"], "exe")):
        assert now(ada, format, columns).context["form"].errors
    assert ada.get(f"{ASK}?q=cost:x").headers["location"].startswith("/admin/tollhouse_gateway/call/?q=cost")


def test_an_export_in_the_background_from_the_page_to_the_file():
    ada = client()
    calls = [make_call(tenant="acme") for _ in range(3)]
    export = later(ada, query="q=tenant:acme&since=7d")
    page = ada.get(address(export, "change")).content.decode()
    assert "Waiting for a worker" in page and "manage.py worker" in page and address(export, "progress") in page
    assert ada.get(address(export, "progress")).json() == {
        "open": True,
        "state": "waiting",
        "share": 0.0,
        "told": "Waiting for a worker.",
    }
    assert ada.post(address(export, "download")).status_code == 404
    Export.objects.update(state="running", share=0.25, rows=1000)
    assert ada.get(address(export, "progress")).json()["told"] == "1,000 of about 4,000 calls, 25% of the time read."
    Export.objects.update(state="waiting", share=0, rows=0)
    make_waiting()
    page = ada.get(address(export, "change")).content.decode()
    assert "Download CSV" in page and "3 calls" in page and address(export, "progress") not in page
    assert ada.get(address(export, "download")).status_code == 405
    answer = ada.post(address(export, "download"))
    content = b"".join(answer.streaming_content)
    assert int(answer.headers["content-length"]) == len(content)
    assert content.decode().splitlines() == ["id,tenant", *(f"{call.id},acme" for call in calls)]
    asked, downloaded = AuditEntry.objects.order_by("id")
    assert (asked.action, asked.subject, asked.detail["columns"]) == (
        "call.export",
        f"export CSV {export.pk}",
        ["id", "tenant"],
    )
    assert (downloaded.action, downloaded.detail["rows"]) == ("export.download", 3)
    assert "tenant:acme" in ada.get("/admin/tollhouse_gateway/export/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_server_sends_it_piece_by_piece(admin_user):
    make_call()
    first = Client()
    first.force_login(admin_user)
    export = later(first)
    make_waiting()

    async def download():
        client = AsyncClient()
        await client.aforce_login(admin_user)
        answer = await client.post(address(export, "download"))
        assert answer.is_async
        return b"".join([piece async for piece in answer.streaming_content])

    assert asyncio.run(download()).startswith(b"id,tenant\n")


def test_cancelling_is_noted_and_ends_it():
    ada = client()
    export = later(ada)
    assert ada.get(address(export, "cancel")).status_code == 405
    ada.post(address(export, "cancel"))
    make_waiting()
    export.refresh_from_db()
    assert export.state == "cancelled" and AuditEntry.objects.filter(action="export.cancel").count() == 1
    assert "had ended already" in ada.post(address(export, "cancel"), follow=True).content.decode()
    failed = later(ada)
    Export.objects.filter(pk=failed.pk).update(state="failed", error="<b>Disk</b> full.")
    assert "&lt;b&gt;Disk&lt;/b&gt; full." in ada.get(address(failed, "change")).content.decode()
    for _ in range(3):
        later(ada)
    answer = now(ada, "later-csv", ["id"])
    assert "wait for one, or cancel it" in answer.content.decode()


def test_only_those_get_a_file_who_may_see_all_that_is_in_it():
    acme, both, free = client("acme"), client("acme", "umbrella"), client()
    make_call(tenant="acme")
    make_call(tenant="umbrella")
    of_acme, of_both, of_all = later(acme), later(both), later(free)
    make_waiting()

    def sees(found, export):
        pages = [
            found.get(address(export, "change")),
            found.get(address(export, "progress")),
            found.post(address(export, "download")),
        ]
        return {page.status_code for page in pages} == {200}

    table = [[sees(found, export) for export in (of_acme, of_both, of_all)] for found in (acme, both, free)]
    assert table == [[True, False, False], [True, True, False], [True, True, True]]
    assert b"umbrella" not in b"".join(acme.post(address(of_acme, "download")).streaming_content)
    # A limit that came since holds for whoever asked, too.
    TenantLimit.objects.create(user=of_all.asked_by, tenants=["umbrella"])
    assert not sees(free, of_all)
    for codes in (["view_call"], ["export_call"], ["view_call", "view_export"]):
        nobody = client(codes=codes)
        assert nobody.get(ASK).status_code == 403
        assert {nobody.get(address(of_acme, name)).status_code for name in ("change", "progress")} == {403}
        assert nobody.post(address(of_acme, "download")).status_code == 403
    assert acme.get(f"{address(of_acme, 'change')}").status_code == 200
    only = acme.post(f"{ASK}?since=7d", {"columns": ["tenant"], "format": "csv"}).content.decode()
    assert only.split() == ["tenant", "acme"]


def test_what_expired_is_in_no_file():
    make_call(at=timezone.now() - timedelta(days=500))
    assert now(client(), "csv", ["id"], "since=all").content.decode().split() == ["id"]
