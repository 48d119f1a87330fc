"""The compliance report: its facts, what it says of them, and the forms in which it leaves."""

import re
import zlib
from base64 import a85decode
from io import StringIO

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from budgets.models import Budget
from gateway.compliance.facts import gather
from gateway.compliance.markdown import escaped
from gateway.compliance.report import FORMATS, issue, make
from gateway.compliance.sections import ROWS
from gateway.models import AuditEntry, Provider, RetentionRule, Route, Target, TenantLimit
from gateway.prompts.deploy import move
from gateway.retention import kinds
from redaction.models import RedactionList
from tests.world import World

pytestmark = pytest.mark.django_db
HOSTILE = "a|b <script>alert(1)</script> & [x](javascript:1) `c` *d* 中文\nline"
PAGE = "/admin/tollhouse_gateway/auditentry/compliance/"


@pytest.fixture
def world(db):
    """A feature with everything that the report tells of."""
    world = World("https://api.example.com/v1")
    policy = world.policy(
        "strict", outbound="mask", stored="hash", entities=["EMAIL_ADDRESS", "PERSON"], rules={"PERSON": "refuse"},
        parts={"replies": "off"}, stored_parts={"replies": "none"}, media="refuse",
    )  # fmt: skip
    feature = world.feature("support.reply", description=HOSTILE, owner="support", policy=policy, cache_ttl_s=60)
    first, second = world.prompt(feature, *({"messages": [{"role": "user", "content": c}]} for c in "ab"))
    move(first.prompt, {first: 3, second: 1}, actor="ada", reason="fewer words")
    world.feature("chat", phase="beta", rollout_percent=5)
    bedrock = Provider.objects.create(name="bedrock", kind="litellm", options={"aws_region_name": "eu-west-1"})
    cheap = Route.objects.create(name="cheap")
    Target.objects.create(route=cheap, position=0, provider=bedrock, model="nova")
    unused = Provider.objects.create(name="unused", kind="openai", base_url="https://unused.example.com/v1")
    Target.objects.create(route=Route.objects.create(name="spare"), position=0, provider=unused, model="m")
    Budget.objects.create(feature="support.reply", limit=10, on_hard="route:cheap")
    RetentionRule.objects.create(kind="payload", feature="support.reply", keep_days=7)
    RedactionList.objects.create(policy=policy, tenant="acme", deny=["Falcon"])
    return world


def test_every_kind_of_rows_that_is_the_gates_own_is_told_in_words():
    assert {kind for kind in kinds.REGISTERED if kinds.REGISTERED[kind] in kinds.OWN} <= ROWS.keys()


def by(found, key, value):
    return next(row for row in found if row[key] == value)


def test_the_facts_are_what_is_configured(world):
    facts = gather()
    support, chat = facts["features"][1], facts["features"][0]
    assert (support["slug"], support["models"], support["when_a_budget_is_full"]) == (
        "support.reply",
        ["mock/echo"],
        ["bedrock/nova"],
    )
    assert (chat["phase"], chat["percent_of_others"], chat["when_a_budget_is_full"]) == ("beta", 5, [])
    assert [row["name"] for row in facts["subprocessors"]] == ["bedrock", "mock"]
    bedrock, mock = facts["subprocessors"]
    assert (bedrock["region"], bedrock["host"], bedrock["features"]) == ("eu-west-1", "", ["support.reply"])
    assert (mock["region"], mock["host"], mock["features"]) == ("", "api.example.com", ["chat", "support.reply"])
    (prompt,) = facts["prompts"]
    assert sorted(version["percent"] for version in prompt["versions"]) == ["25", "75"]
    assert {(v["put_live_by"], v["reason"]) for v in prompt["versions"]} == {("ada", "fewer words")}
    assert all(re.fullmatch("[0-9a-f]{64}", v["address"]) and v["live_since"] for v in prompt["versions"])
    policy = by(facts["redaction"]["policies"], "name", "strict")
    assert policy["features"] == ["support.reply"] and policy["tenants_with_lists"] == 1
    email, name = (by(policy["entities"], "entity", entity)["sent"] for entity in ("EMAIL_ADDRESS", "PERSON"))
    assert (email["prompts"], email["replies"], name["prompts"]) == ("mask", "off", "refuse")
    assert by(policy["entities"], "entity", "SECRET")["sent"]["prompts"] == "mask"
    assert (policy["kept"]["prompts"], policy["kept"]["replies"]) == ("hash", "none")
    kept = by(facts["retention"], "kind", "payload")
    assert (kept["table"], kept["days"], kept["of_features"]) == ("tollhouse_payload", 30, {"support.reply": 7})
    assert "acme" not in str(facts) and "Falcon" not in str(facts)


def test_who_else_receives_something_is_told_without_keys(world, settings, monkeypatch):
    assert gather()["receivers"] == []
    assert "in the gate's own processes" in FORMATS["markdown"].write(make("x")).decode()
    settings.TOLLHOUSE = {**settings.TOLLHOUSE, "REDACTION_MODEL": "https://presidio.example.com/x?language=de"}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example.com:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "meters.example.com:4317")
    monkeypatch.setenv("SENTRY_DSN", "https://secret@o1.sentry.example.com/1")
    analyzer, *measured = gather()["receivers"]
    assert analyzer == {
        "name": "analyzer",
        "host": "presidio.example.com",
        "gets": "texts",
        "features": ["support.reply"],
    }
    assert [(one["name"], one["host"], one["gets"]) for one in measured] == [
        ("OTLP", "collector.example.com", "measures"), ("OTLP", "meters.example.com", "measures"),
        ("Sentry", "o1.sentry.example.com", "measures"),
    ]  # fmt: skip
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    assert [one["gets"] for one in gather()["receivers"]] == ["texts", "redacted", "measures"]
    text = FORMATS["markdown"].write(make("x")).decode()
    assert "presidio.example.com" in text and "before a policy replaces it" in text and "secret" not in text
    assert "in the gate's own processes" not in text
    for table in ("tollhouse_dataset_item", "tollhouse_rollup", "tollhouse_saved_view", "tollhouse_meter"):
        assert table.replace("_", r"\_") in text or table in text


def test_who_can_read_payloads_is_named(world):
    group = Group.objects.create(name="reviewers")
    permissions = Permission.objects.filter(codename__in=["read_payload", "view_call"])
    group.permissions.set(permissions)
    for name in ("in-group", "by-right", "cannot-see-calls", "not-staff", "gone", "limited"):
        user = User.objects.create_user(name, is_staff=name != "not-staff", is_active=name != "gone")
        if name == "by-right":
            user.user_permissions.set(permissions)
        elif name == "cannot-see-calls":
            user.user_permissions.set(permissions.filter(codename="read_payload"))
        else:
            user.groups.add(group)
    User.objects.create_superuser("root", first_name="Ada", last_name="Root")
    TenantLimit.objects.create(user=User.objects.get(username="limited"), tenants=["acme"])
    readers = gather()["payload_readers"]
    assert [name for name in readers["groups"] if not name.startswith("Tollhouse: ")] == ["reviewers"]
    assert [(user["name"], user["through"], user["tenants"]) for user in readers["users"]] == [
        ("by-right", "own permission", None), ("in-group", "group reviewers", None), ("limited", "group reviewers", 1),
        ("root", "superuser", None),
    ]  # fmt: skip


def test_the_hash_is_of_the_facts_and_not_of_the_moment(world):
    first = make("ada")
    issue(first, "markdown")
    again = make("ben")
    assert first.hash == again.hash and first.made_at < again.made_at
    assert FORMATS["pdf"].write(first) == FORMATS["pdf"].write(first)
    RetentionRule.objects.all().delete()
    assert make("ada").hash != first.hash
    entry = AuditEntry.objects.get(action="compliance.report")
    assert (entry.actor, entry.detail) == ("ada", {"hash": first.hash, "format": "markdown"})


def test_the_last_verification_is_told(world):
    assert gather()["audit"] is None
    with connection.cursor() as cursor:
        # Entries are chained when their transaction ends, which this test's does not.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    call_command("audit", "verify", stdout=StringIO())
    audit = gather()["audit"]
    entries = AuditEntry.objects.count() - 1
    assert audit["ok"] and audit["entries"] == entries and len(audit["head_hash"]) == 64 and audit["verified_at"]
    AuditEntry.objects.create(
        actor="x", action="audit.verify", subject="audit log", detail={"ok": False, "why": "Entry 7 is gone."}
    )
    assert not gather()["audit"]["ok"] and "BROKEN. Entry 7 is gone." in FORMATS["markdown"].write(make("x")).decode()


def text_of(pdf):
    """The operators of a PDF's pages; reportlab writes them compressed, in base 85."""
    streams = re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.S)
    return b"".join(zlib.decompress(a85decode(s.strip()[:-2])) for s in streams if s.strip().endswith(b"~>"))


def test_what_people_wrote_is_text_in_every_form(world):
    markdown = FORMATS["markdown"].write(make("ada")).decode()
    assert r"a\|b \<script\>alert(1)\</script\> \& \[x\](javascript:1) \`c\` \*d\* 中文<br>line" in markdown
    columns = {line.replace(r"\|", "").count("|") for line in markdown.splitlines() if line.startswith("|")}
    assert columns <= {3, 4, 5, 6} and "support.reply" in markdown
    pdf = FORMATS["pdf"].write(make("ada"))
    assert pdf.startswith(b"%PDF-") and len(text_of(pdf)) > 10_000 and b"/JavaScript" not in pdf
    assert escaped("_x_ EMAIL_ADDRESS # ~") == r"\_x\_ EMAIL_ADDRESS \# \~"


def test_the_command_writes_to_a_file_or_the_terminal(world, tmp_path):
    out = StringIO()
    call_command("compliance", "report", stdout=out)
    assert out.getvalue().startswith("# Use of language models: compliance report\n")
    file = tmp_path / "report.pdf"
    call_command("compliance", "report", "--format", "pdf", "--output", str(file), stdout=out)
    assert file.read_bytes().startswith(b"%PDF-") and make("x").hash in out.getvalue()
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("compliance", "report", "--output", str(tmp_path), stdout=out)
    assert AuditEntry.objects.filter(action="compliance.report").count() == 2


def test_the_page_shows_it_and_sends_it(world, client):
    user = User.objects.create_user("carol", is_staff=True)
    client.force_login(user)
    assert client.get(PAGE).status_code == client.post(PAGE, {"format": "pdf"}).status_code == 403
    user.user_permissions.set(Permission.objects.filter(codename="report_compliance"))
    shown = client.get(PAGE).content.decode()
    assert "api.example.com" in shown and "&lt;script&gt;" in shown and "<script>alert" not in shown
    assert not AuditEntry.objects.filter(action="compliance.report").exists()
    answer = client.post(PAGE, {"format": "pdf"})
    assert answer["content-type"] == "application/pdf" and answer.content.startswith(b"%PDF-")
    assert re.fullmatch(r'attachment; filename="compliance-\d{4}-\d\d-\d\d\.pdf"', answer["content-disposition"])
    assert AuditEntry.objects.get(action="compliance.report").actor == "carol"
    assert client.post(PAGE, {"format": "docx"}).status_code == 400
    assert Client(enforce_csrf_checks=True).post(PAGE, {"format": "pdf"}).status_code in (302, 403)
