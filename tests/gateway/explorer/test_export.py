"""Exports of calls: CSV that no spreadsheet runs, Parquet with types, and a command that says what is wrong."""

import csv
import io
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from gateway.models import Adjustment, AuditEntry
from tests.rows import make_call

pytestmark = pytest.mark.django_db
ODD = '=HYPERLINK("x")\n, "q" 50% \\. ü'


def export(path, **options):
    call_command("calls", "export", output=str(path), stderr=io.StringIO(), **options)
    return path


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_has_the_rows_that_fit_oldest_first_and_no_formula(tmp_path):
    old = make_call(
        tenant=ODD, cost_usd=Decimal("-0.5"), labels={"a": "=1"}, session_id="-1", user_ref="@x", cohort="a-b"
    )
    new = make_call(tenant="100%", cost_usd=None)
    make_call(feature="other")
    path = export(tmp_path / "calls.csv", query="feature:support.*")
    first, second = rows(path)
    assert [first["id"], second["id"]] == [str(old.id), str(new.id)]
    assert (first["tenant"], first["session_id"], first["user_ref"], first["cohort"]) == (
        "'" + ODD,
        "'-1",
        "'@x",
        "a-b",
    )
    assert Decimal(first["cost_usd"]) == Decimal("-0.5") and second["cost_usd"] == "" and second["tenant"] == "100%"
    assert first["started_at"].startswith(f"{old.started_at:%Y-%m-%d %H:%M:%S}") and "content" not in first
    assert path.stat().st_mode & 0o777 == 0o600 and [found.name for found in tmp_path.iterdir()] == ["calls.csv"]
    [only] = rows(export(path, query='tenant:"100%"', columns="outcome,id"))
    assert only == {"outcome": "ok", "id": str(new.id)}
    assert rows(export(path, query="cost<0", raw=True))[0]["tenant"] == ODD
    assert rows(export(path, until="2020-01-01", since="2019-01-01")) == []
    assert AuditEntry.objects.filter(action="call.export").count() == 4


def test_parquet_keeps_types(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    old = make_call(tenant=ODD, cost_usd=Decimal("0.000000001"), first_token_ms=1.5, streamed=True)
    Adjustment.objects.bulk_create([
        Adjustment(call_id=old.id, cost_usd=Decimal(cost), reason="late", actor="x") for cost in ("0.5", "-0.25")
    ])  # fmt: skip
    make_call(cost_usd=None)
    table = parquet.read_table(export(tmp_path / "calls.parquet", format="parquet"))
    first, second = table.to_pylist()
    assert (first["tenant"], first["cost_usd"], first["first_token_ms"]) == (ODD, Decimal("0.000000001"), 1.5)
    assert first["streamed"] is True and first["started_at"] == old.started_at and first["input_tokens"] == 1200
    assert (first["adjusted_usd"], second["adjusted_usd"]) == (Decimal("0.25"), 0)
    assert rows(export(tmp_path / "calls.csv", columns="adjusted_usd,id"))[0]["adjusted_usd"] == "0.250000000"
    assert second["cost_usd"] is second["first_token_ms"] is None and second["tenant"] == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"query": "tenat:x"}, "Did you mean tenant?.*\n  tenat:x\n  \\^\\^\\^\\^\\^$"),
        ({"since": "yesterday"}, "--since 'yesterday' is no time"),
        ({"columns": "id,content"}, "There is no column content"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, options, words):
    with pytest.raises(CommandError, match=words):
        export(tmp_path / "x.csv", **options)
    with pytest.raises(CommandError, match="cannot be written"):
        export(tmp_path / "nowhere" / "x.csv")
    with pytest.raises(CommandError, match="a file as --output"):
        export("-", format="parquet")
    assert list(tmp_path.iterdir()) == []
