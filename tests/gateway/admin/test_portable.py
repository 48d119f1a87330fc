"""Configuration in files: out with every column and no secret, in by the forms, all or nothing, with a reason."""

import csv
import io
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from budgets.models import AlertRoute, Budget, Channel, Rate, RateLimit, SwitchTrigger
from gateway.admin.portable import PortableAdmin
from gateway.models import AuditEntry, Feature, Price, RetentionRule, TenantLimit
from gateway.transfer.configuration import FormResource, Moved, NotSaved, look_through
from gateway.transfer.files import read
from redaction.models import RedactionList, RedactionPolicy
from tests.world import World

pytestmark = pytest.mark.django_db
PORTABLE = {model: page for model, page in admin.site._registry.items() if isinstance(page, PortableAdmin)}
HOSTILE = '=HYPERLINK("x")'


@pytest.fixture
def world(db):
    return World("https://x.example.com/v1")


@pytest.fixture
def rows(world):
    """A row or two of each kind, with values that are hard to write down."""
    feature = world.feature("f", description=HOSTILE, rollout_tenants=["a, b", "@c"], cache_ttl_s=60)
    policy = RedactionPolicy.objects.get(name=feature.policy.name)
    Rate.objects.create(currency="EUR", per_usd=Decimal("0.912345678"), effective_from=date(2026, 1, 1), source="-ECB")
    Budget.objects.create(feature="f", limit=Decimal("12.345678901"), soft_percent=[70, 90], currency="EUR")
    Budget.objects.create(each=["feature", "tenant"], metric="calls", period="month", limit=5, timezone="Europe/Paris")
    RateLimit.objects.create(tenant="'=x", requests_per_minute=5)
    route = AlertRoute.objects.create(name="a", kinds=["budget_*"], quiet_from="22:00", quiet_until="07:00")
    route.channels.set(
        [Channel.objects.create(name="c", kind="webhook"), Channel.objects.create(name="b, c", kind="webhook")]
    )
    SwitchTrigger.objects.create(name="t", value="f", condition="error_percent", above=5)
    RetentionRule.objects.create(kind="call", feature="f", keep_days=30)
    RedactionList.objects.create(policy=policy, allow=["Acme", "Umbrella"], patterns={"EMPLOYEE": r"\bE\d{6}\b"})
    Price.objects.create(provider="acme", model="m", rates={"input": "1", "output": "2.5"}, source="genai-prices 1")


def page(model, name):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}")


def exported(client, model, format="csv", columns=None, query=""):
    path = page(model, "export") + query
    given = columns or [name for name, _ in client.get(path).context["form"].fields["columns"].choices]
    answer = client.post(path, {"columns": given, "format": format})
    assert answer.status_code == 200 and "attachment" in answer.headers["content-disposition"], answer.content[:500]
    return answer.content


def preview(client, model, content, name="file.csv"):
    content = content if isinstance(content, bytes) else content.encode()
    return client.post(page(model, "import"), {"file": SimpleUploadedFile(name, content)})


def confirm(client, model, shown, reason="new limits"):
    return client.post(page(model, "import"), {"carried": shown.context["signed"], "reason": reason}, follow=True)


def problems(shown):
    return [(problem.row, problem.column, problem.message) for problem in shown.context["problems"]]


def edited(content, **changes):
    """The CSV with other values in its first row."""
    found = list(csv.DictReader(io.StringIO(content.decode())))
    found[0] |= changes
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]))
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def test_these_lists_are_in_files_and_no_secret_is(world):
    assert set(PORTABLE) == {
        AlertRoute, Budget, Feature, Price, Rate, RateLimit, RedactionList, RetentionRule, SwitchTrigger,
    }  # fmt: skip
    request = type("Request", (), {"user": User(is_superuser=True, is_active=True), "GET": {}})()
    for model, found in PORTABLE.items():
        fields = found.get_form(request, None, change=False)().fields
        assert set(found.identity) <= set(fields), model
        secret = [name for name, field in fields.items() if isinstance(field.widget, forms.PasswordInput)]
        assert not secret and not [name for name in fields if re.search("secret|encrypted|api_key", name)], model


@pytest.mark.parametrize("format", ["csv", "xlsx", "json"])
def test_what_was_exported_changes_nothing_when_it_is_imported(admin_client, rows, settings, format):
    settings.TIME_ZONE = "Europe/Paris"
    Price.objects.create(
        provider="acme", model="n", rates={"input": "1"}, effective_from=datetime(2026, 1, 1, tzinfo=UTC), source="x"
    )
    Price.objects.create(
        provider="acme",
        model="n",
        rates={"input": "1"},
        effective_from=datetime(2026, 1, 1, 5, 6, 7, 8, tzinfo=UTC),
        source="x",
    )
    for model in PORTABLE:
        content = exported(admin_client, model, format)
        shown = preview(admin_client, model, content, f"file.{format}")
        assert problems(shown) == [] and shown.context["changes"] == [], model
        assert "as they are here" in shown.content.decode()
    assert AuditEntry.objects.filter(action="budget.export").count() == 1


def test_rows_are_made_again_from_their_file(admin_client, rows):
    for model in (RateLimit, AlertRoute, SwitchTrigger, RetentionRule, RedactionList, Budget):
        before = exported(admin_client, model, "json")
        for row in model.objects.all():
            row.retire() if model is Budget else row.delete()
        shown = preview(admin_client, model, before, "file.json")
        assert problems(shown) == [], model
        assert confirm(admin_client, model, shown).redirect_chain
        assert json.loads(exported(admin_client, model, "json")) == json.loads(before), model


def test_no_spreadsheet_runs_a_cell(admin_client, rows):
    [feature] = csv.DictReader(io.StringIO(exported(admin_client, Feature).decode()))
    assert feature["description"] == f"'{HOSTILE}" and feature["rollout_tenants"] == "a, b\n@c"
    assert json.loads(exported(admin_client, Feature, "json"))[0]["description"] == HOSTILE
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.load_workbook(io.BytesIO(exported(admin_client, Feature, "xlsx")))
    cells = [cell for row in book.active.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "inlineStr", "n", "b"} and f"'{HOSTILE}" in [
        cell.value for cell in cells
    ]
    [limit] = csv.DictReader(io.StringIO(exported(admin_client, RateLimit).decode()))
    assert limit["tenant"] == "''=x"


def test_an_import_shows_its_differences_then_does_them_with_a_reason(admin_client, rows):
    content = exported(admin_client, Budget)
    [name] = [row["feature"] for row in csv.DictReader(io.StringIO(content.decode())) if row["currency"] == "EUR"]
    text = content.decode().replace("12.345678901", "20").rstrip() + "\r\n"
    text += ",".join("99" if name == "limit" else {"metric": "tokens", "currency": "USD", "period": "day", "timezone": "UTC"}.get(name, "")
                     or ("block" if name == "on_hard" else "true" if name == "active" else "")
                     for name in text.splitlines()[0].split(","))  # fmt: skip
    shown = preview(admin_client, Budget, text)
    assert problems(shown) == []
    old, new = shown.context["changes"]
    assert (old.kind, {c: (a, b) for c, a, b in old.values}) == ("update", {"limit": ("12.345678901", "20")})
    assert new.kind == "new" and shown.context["same"] == 1 and name == "f"
    assert (
        not Budget.objects.filter(limit=20).exists() and not AuditEntry.objects.filter(action="budget.change").exists()
    )
    unexplained = admin_client.post(page(Budget, "import"), {"carried": shown.context["signed"], "reason": " "})
    assert "Say why" in unexplained.content.decode() and not Budget.objects.filter(limit=20).exists()
    done = confirm(admin_client, Budget, unexplained)
    assert "1 new, 1 changed" in done.content.decode()
    assert Budget.objects.get(feature="f").limit == 20 and Budget.objects.get(metric="tokens").limit == 99
    change, summary = (AuditEntry.objects.get(action=f"budget.{verb}") for verb in ("change", "import"))
    assert change.reason == summary.reason == "new limits" and change.detail == {
        "changes": {"limit": ["12.345678901", "20"]}
    }
    assert summary.detail["new"] == summary.detail["changed"] == 1 and len(summary.detail["sha256"]) == 64
    # A file that was imported is as it is here.
    assert preview(admin_client, Budget, text).context["changes"] == []


def test_all_or_nothing_and_every_problem_has_its_row_and_column(admin_client, rows):
    before = list(RateLimit.objects.values())
    head = "feature,tenant,key,user,cohort,each,requests_per_minute,burst_s,active"
    text = f"{head}\nf,,,,,,10,60,true\nnowhere,,,,,,10,60,true\nf,,,,,tenant,ten,60,perhaps\nf,,,,,,11,60,true\n"
    shown = preview(admin_client, RateLimit, text)
    found = problems(shown)
    assert [(row, column) for row, column, _ in found] == [(3, "feature"), (4, "active"), (5, "")]
    assert "nowhere" in found[0][2] and "neither true nor false" in found[1][2] and "row 2" in found[2][2]
    found = problems(preview(admin_client, RateLimit, f"{head}\nf,,,,,tenant,ten,60,true\n"))
    assert found[0] == (2, "requests_per_minute", "Enter a whole number.")
    [unknown] = problems(preview(admin_client, RateLimit, f"{head},request\nf,,,,,,10,60,true,1\n"))
    assert unknown[:2] == (0, "request") and "Did you mean requests_per_minute?" in unknown[2]
    [missing] = problems(preview(admin_client, RateLimit, "feature,tenant,key,user,cohort\nf,,,,\n"))
    assert missing[1] == "each" and "missing" in missing[2]
    assert (
        list(RateLimit.objects.values()) == before
        and not AuditEntry.objects.filter(action__startswith="ratelimit").exists()
    )
    assert "Nothing was imported" in shown.content.decode()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("file.pdf", b"x", "has to end in .csv, .xlsx or .json"),
        ("file.csv", b"\xff\xfe\x00", "not in UTF-8"),
        ("file.csv", b"feature\n", "no row under its headers"),
        ("file.csv", b"feature,feature\na,b\n", "there twice"),
        ("file.csv", b"feature,\na,b\n", "Column 2 has no name"),
        ("file.csv", b"feature\na,b,c\n", "Row 2 has 3 cells"),
        ("file.csv", b"feature\n" + b"a\n" * 1001, "more than 1,000 rows"),
        ("file.csv", b"a" * 1_000_001, "more than 1 MB"),
        ("file.xlsx", b"PK\x03\x04 no workbook", "no workbook that can be read"),
        ("file.json", b"{", "no JSON"),
        ("file.json", b"[" * 100_000, "no JSON"),
        ("file.json", b'{"a": 1}', "a list of objects"),
        ("file.json", b'[{"a": 1}, {"b": 1}]', "in some objects only"),
        ("file.json", b'[{"feature": "\\ud800"}]', "characters that no text has"),
        ("file.json", b'[{"feature": [{"a": "\\u0000"}]}]', "characters that no text has"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(admin_client, name, content, why):
    answer = preview(admin_client, RateLimit, content, name)
    assert answer.status_code == 200 and why in answer.content.decode()


@pytest.mark.parametrize("value", ["{}", '{"a": 1}', "[[]]", "[null]"])
def test_what_is_nested_is_a_problem_of_its_column(admin_client, rows, value):
    for model, column in ((Feature, "models"), (Budget, "starts_at"), (RateLimit, "user")):
        blank = dict.fromkeys(admin.site._registry[model].identity, "")
        entry = "{" + ", ".join(f'"{name}": ""' for name in blank if name != column) + f', "{column}": {value}' + "}"
        found = problems(preview(admin_client, model, f"[{entry}]".encode(), "file.json"))
        assert column in {problem[1] for problem in found}, (model, value)


def test_a_time_beyond_the_calendar_is_a_problem_of_its_column(admin_client, rows):
    columns = dict.fromkeys(admin.site._registry[Price].identity, "") | {"effective_from": "0001-01-01T00:00:00+14:00"}
    found = problems(preview(admin_client, Price, json.dumps([columns]), "file.json"))
    assert "effective_from" in {problem[1] for problem in found}


def test_files_of_other_spreadsheets_are_read(admin_client, rows):
    head = ["feature", "tenant", "key", "user", "cohort", "each", "requests_per_minute"]
    [change] = preview(admin_client, RateLimit, "\ufeff" + ";".join(head) + "\r\nf;;;;;;7\r\n;;;;;;\r\n").context[
        "changes"
    ]
    assert change.kind == "new" and ("requests_per_minute", None, "7") in change.values
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append([*head, None])
    book.active.append(["f", None, None, None, None, None, 8.0])
    book.active["A900000"] = None
    content = io.BytesIO()
    book.save(content)
    [change] = preview(admin_client, RateLimit, content.getvalue(), "file.xlsx").context["changes"]
    assert change.row == 2 and ("requests_per_minute", None, "8") in change.values


def test_prices_and_rates_are_only_added(admin_client, rows):
    text = edited(exported(admin_client, Price, query="?q=acme"), rates='{"input": "3", "output": "4"}')
    shown = preview(admin_client, Price, text)
    confirm(admin_client, Price, shown)
    old, new = Price.objects.filter(provider="acme").order_by("id")
    assert (old.rates["input"], new.rates["input"], new.source) == ("1", "3", "admin admin")
    assert preview(admin_client, Price, text).context["changes"] == []
    [problem] = problems(
        preview(admin_client, Price, edited(exported(admin_client, Price, query="?q=acme"), rates='{"inputs": "3"}'))
    )
    assert problem[:2] == (2, "rates")
    confirm(
        admin_client,
        Rate,
        preview(admin_client, Rate, "currency,effective_from,per_usd,source\nEUR,2026-01-01,0.9,me\n"),
    )
    assert [str(rate.per_usd.normalize()) for rate in Rate.objects.order_by("id")] == ["0.912345678", "0.9"]


def test_a_preview_that_is_old_or_another_s_is_not_done(admin_client, rows, django_user_model, monkeypatch):
    shown = preview(admin_client, Budget, exported(admin_client, Budget).decode().replace("12.345678901", "20"))
    Budget.objects.filter(feature="f").update(limit=15)
    moved = confirm(admin_client, Budget, shown)
    assert (
        "Rows were changed since you looked" in moved.content.decode() and Budget.objects.get(feature="f").limit == 15
    )
    assert moved.context["changes"][0].values == (("limit", "15", "20"),)
    other = Client()
    other.force_login(django_user_model.objects.create_superuser("eve"))
    assert "not yours" in confirm(other, Budget, moved).content.decode()
    monkeypatch.setattr("gateway.admin.portable.PREVIEW_S", -1)
    assert "too old" in confirm(admin_client, Budget, moved).content.decode()
    assert Budget.objects.get(feature="f").limit == 15


def test_who_may_what(rows):
    def client(*codes, tenants=()):
        user = User.objects.create_user(f"u{User.objects.count()}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codes))
        if tenants:
            TenantLimit.objects.create(user=user, tenants=tenants)
        found = Client()
        found.force_login(user)
        return found

    def may(found):
        return [found.get(page(Budget, name)).status_code == 200 for name in ("export", "import")]

    both = ("export_configuration", "import_configuration")
    assert may(client("view_budget")) == [False, False]
    assert may(client("view_budget", *both)) == [True, False]
    assert may(client("view_budget", "change_budget", *both)) == [True, True]
    assert may(client(*both)) == [False, False]
    assert may(client("view_budget", "change_budget", "add_budget", *both, tenants=["acme"])) == [False, False]
    adds, changes = client("view_budget", "add_budget", *both), client("view_budget", "change_budget", *both)
    content = exported(adds, Budget)
    [problem] = problems(preview(adds, Budget, content.decode().replace("12.345678901", "20")))
    assert "may not change" in problem[2]
    [problem] = problems(preview(changes, Budget, content.decode().replace("Europe/Paris", "Europe/Rome")))
    assert "may not add" in problem[2]
    narrowed = exported(adds, Budget, columns=["feature", "limit"], query="?metric__exact=calls")
    assert narrowed.decode().splitlines() == ["feature,limit", ",5"]


def test_what_others_do_between_the_look_and_the_saving_is_not_undone(rf, admin_user, rows):
    request = rf.post("/")
    request.user = admin_user

    def looked_through(text):
        resource = FormResource(PORTABLE[RetentionRule], request)
        assert look_through(resource, read(f"kind,feature,keep_days\n{text}\n".encode(), "file.csv")) == []
        return resource

    old, new = looked_through("call,f,40"), looked_through("payload,f,40")
    RetentionRule.objects.update(keep_days=35)
    with pytest.raises(Moved):
        old.save()
    RetentionRule.objects.create(kind="payload", feature="f", keep_days=36)
    with pytest.raises(NotSaved) as error:
        new.save()
    assert error.value.problem.row == 2 and "tollhouse_retention_rule_once" in error.value.problem.message
    assert sorted(RetentionRule.objects.values_list("keep_days", flat=True)) == [35, 36]
