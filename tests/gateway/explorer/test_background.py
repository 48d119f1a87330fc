"""Exports in the background: whole and exact however often a worker dies, and only for who may have them."""

import csv
import io
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models.functions import Now
from django.utils import timezone

from gateway import privacy
from gateway.explorer import background
from gateway.explorer.background import Refused, ask, cancel, make_waiting, pieces
from gateway.explorer.export import COLUMNS
from gateway.explorer.search import Range
from gateway.models import Export, ExportPart, TenantLimit
from gateway.retention.remove import remove
from tests.rows import make_call, make_partitions

pytestmark = pytest.mark.django_db
ALL = ["id", "tenant", "cost_usd"]


@pytest.fixture
def user():
    return person("ada")


def person(name, *tenants):
    found = User.objects.create_user(name, is_staff=True)
    codes = ["view_call", "export_call"]
    found.user_permissions.set(Permission.objects.filter(codename__in=codes))
    if tenants:
        TenantLimit.objects.create(user=found, tenants=list(tenants))
    return User.objects.get(pk=found.pk)


def lately(days=30):
    now = timezone.now()
    return Range(now - timedelta(days=days), now + timedelta(minutes=1))


def made(user, columns=ALL, **given):
    export = ask(user, **{"query": "", "within": lately(), "format": "csv", **given}, columns=columns)
    make_waiting()
    export.refresh_from_db()
    return export


def rows(export):
    return list(csv.DictReader(io.StringIO(b"".join(pieces(export)).decode())))


def test_slices_make_one_file(user, monkeypatch):
    monkeypatch.setattr(background, "SLICE_ROWS", 3)
    now = timezone.now()
    calls = [make_call(at=now - timedelta(hours=hours), tenant=f"t{hours}") for hours in range(300, 0, -23)]
    make_call(outcome="timeout")
    export = made(user, query="outcome:ok")
    assert (export.state, export.error, export.rows, export.share, export.expected) == ("ready", "", 14, 1.0, 14)
    assert [row["id"] for row in rows(export)] == [str(call.id) for call in calls]
    assert export.size == sum(map(len, pieces(export))) and export.parts.count() > 4
    assert timedelta(hours=71) < export.expires_at - timezone.now() < timedelta(hours=73)


def test_a_file_without_rows_has_its_header(user):
    export = made(user, query="feature:nothing")
    assert b"".join(pieces(export)) == b"id,tenant,cost_usd\n" and export.rows == 0


def test_parquet_keeps_types_over_slices(user, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(background, "SLICE_ROWS", 2)
    monkeypatch.setattr(background, "BLOCK", 10)
    for number in range(5):
        make_call(cost_usd=Decimal(number), tenant="=1", streamed=True)
    export = made(user, COLUMNS, format="parquet")
    assert export.state == "ready", export.error
    table = parquet.read_table(io.BytesIO(b"".join(pieces(export))))
    assert [row["cost_usd"] for row in table.to_pylist()] == [0, 1, 2, 3, 4]
    assert table.num_rows == export.rows == 5 and table.to_pylist()[0]["tenant"] == "=1"


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_one_whose_worker_died_is_taken_up_and_has_every_row_once(user, monkeypatch, format):
    monkeypatch.setattr(background, "SLICE_ROWS", 2)
    calls = [str(make_call().id) for _ in range(7)]
    export = ask(user, query="", within=lately(), columns=ALL, format=format)
    keep, kept = background._keep, []

    def die(*args, **given):
        keep(*args, **given)
        kept.append(1)
        if len(kept) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(background, "_keep", die)
        make_waiting()
    make_waiting()
    export.refresh_from_db()
    assert export.state == "running"  # its worker has only just been silent
    Export.objects.update(seen_at=Now() - timedelta(minutes=5))
    make_waiting()
    export.refresh_from_db()
    assert (export.state, export.rows, export.attempts) == ("ready", 7, 2)
    if format == "csv":
        assert [row["id"] for row in rows(export)] == calls
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        table = parquet.read_table(io.BytesIO(b"".join(pieces(export))))
        assert table["id"].to_pylist() == calls


def test_one_that_is_cancelled_stops_and_keeps_nothing(user, monkeypatch):
    monkeypatch.setattr(background, "SLICE_ROWS", 2)
    for _ in range(7):
        make_call()
    export = ask(user, query="", within=lately(), columns=ALL, format="csv")
    keep = background._keep

    def then_cancel(*args, **given):
        keep(*args, **given)
        cancel(export)

    monkeypatch.setattr(background, "_keep", then_cancel)
    make_waiting()
    export.refresh_from_db()
    assert (export.state, export.stored, ExportPart.objects.count()) == ("cancelled", 0, 0)
    assert cancel(export) is False and export.expires_at is not None


def test_limits_to_tenants_hold_when_it_is_made(user):
    limited = person("bob", "acme")
    own = make_call(tenant="acme")
    make_call(tenant="umbrella")
    export = made(limited)
    assert [row["id"] for row in rows(export)] == [str(own.id)] and export.tenants == ["acme"]
    assert made(user).rows == 2
    late = ask(limited, query="", within=lately(), columns=ALL, format="csv")
    TenantLimit.objects.update(tenants=["acme", "umbrella"])
    make_waiting()
    late.refresh_from_db()
    assert (late.state, late.rows) == ("failed", 0) and "Ask for it again" in late.error
    gone = ask(user, query="", within=lately(), columns=ALL, format="csv")
    user.user_permissions.clear()
    make_waiting()
    gone.refresh_from_db()
    assert gone.state == "failed" and "may not export calls any more" in gone.error


def test_what_has_expired_is_in_no_file(user, settings):
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "RETENTION_CALLS_DAYS": 10}
    remove()
    kept = make_call(at=timezone.now() - timedelta(days=9))
    make_call(at=timezone.now() - timedelta(days=11))
    assert [row["id"] for row in rows(made(user))] == [str(kept.id)]


def test_files_are_deleted_when_their_time_is_over(user):
    make_call()
    export = made(user)
    Export.objects.update(expires_at=Now() - timedelta(hours=1))
    assert not Export.objects.exists()  # hidden from the moment on
    assert remove()["export"] == {"rows": 1} and not ExportPart.objects.exists()
    assert export.pk


def test_an_erasure_takes_back_the_files_in_which_the_person_may_be(user):
    now = timezone.now()
    make_partitions(now - timedelta(days=20))
    make_call(user_ref="0f3a", at=now - timedelta(days=3))
    make_call(at=now - timedelta(days=15))
    with_person = made(user)
    without = made(user, within=Range(now - timedelta(days=20), now - timedelta(days=10)))
    privacy.erase("0f3a", actor="ada", reason="asked")
    with_person.refresh_from_db()
    without.refresh_from_db()
    assert (with_person.state, with_person.parts.count(), without.state, without.rows) == ("failed", 0, "ready", 1)
    assert "erased" in with_person.error


def test_bounds(user, settings):
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "EXPORT_MAX_BYTES": 10}
    make_call()
    export = made(user)
    assert export.state == "failed" and "Narrow the query" in export.error and not ExportPart.objects.exists()
    for _ in range(3):
        ask(user, query="", within=lately(), columns=ALL, format="csv")
    with pytest.raises(Refused, match="wait for one, or cancel it"):
        ask(user, query="", within=lately(), columns=ALL, format="csv")
    Export.objects.filter(state="waiting").update(attempts=5)
    make_waiting()
    assert "Given up" in Export.objects.exclude(pk=export.pk).first().error
