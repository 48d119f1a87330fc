"""The patterns of other gateways' advisories, tried over HTTP."""

from io import StringIO

import httpx
import pytest
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.urls import reverse
from django.views.debug import get_exception_reporter_filter

from budgets.models import Budget
from gateway import keys, secrets
from gateway.catalog import load
from gateway.models import Call, Key, Provider, Route, Target
from tests.scripted import ScriptedProvider, completion, reply, sound, stream
from tests.server import Server

MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture
def ask(world, server):
    """Asks the server for a chat completion with a key and further headers."""

    def post(key, body=None, **headers):
        body = {"model": "f", "messages": MESSAGES, **(body or {})}
        return httpx.post(
            f"{server.url}/v1/chat/completions", json=body, headers={"x-api-key": key, **headers}, timeout=20
        )

    return post


INJECTIONS = [
    "' OR 1=1 --",
    "'; DROP TABLE tollhouse_key; --",
    "th_%",
    "th_' OR ''='",
    "\\",
    "%s",
    "{{ 7*7 }}",
    "${7*7}",
    "th_*",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_key_is_data_and_never_a_query(world, server, ask, text):
    world.feature("f")
    world.key()
    server.catch_up()
    assert ask(text).status_code == 401 and Key.objects.count() == 1 and not Call.objects.exists()


def test_what_headers_say_is_data_too(world, server, ask):
    world.feature("f")
    key = world.key()
    Budget.objects.create(metric="usd", period="day", limit=1, tenant="acme")
    server.catch_up()
    for text in INJECTIONS:
        names = {f"x-tollhouse-{name}": text for name in ("user", "tenant", "cohort", "session")}
        assert ask(key, **names).status_code == 200
    assert {call.tenant for call in Call.objects.all()} == set(INJECTIONS)


def test_a_key_counts_whole(world, server, ask):
    """Not by its first characters, and neither by what is stored of it."""
    world.feature("f")
    key = world.key(tenant="acme")
    server.catch_up()
    assert ask(key).status_code == 200
    row = Key.objects.get()
    for other in (
        key[:-1],
        key + "x",
        key[:-1] + ("a" if key[-1] != "a" else "b"),
        key[:20],
        key.upper(),
        row.digest,
        row.prefix,
        row.name,
    ):
        assert ask(other).status_code == 401


def test_a_key_that_was_revoked_opens_nothing_any_more(world, server, ask):
    world.feature("f")
    key = world.key()
    server.catch_up()
    assert ask(key).status_code == 200
    call_command("keys", "revoke", "test")
    server.catch_up()
    assert ask(key).status_code == 401


def test_what_callers_write_is_never_a_template(world, server, ask, provider):
    hostile = "{{ 7*7 }}{% for x in range(9) %}x{% endfor %}{{ ''.__class__.__mro__ }}"
    world.prompt(world.feature("f"), {"messages": [{"role": "user", "content": "Say {{ text }}"}]})
    key = world.key()
    server.catch_up()
    assert (
        ask(key, {"messages": [{"role": "user", "content": hostile}]}).json()["choices"][0]["message"]["content"]
        == hostile
    )
    assert (
        ask(key, {"messages": None, "variables": {"text": hostile}}).json()["choices"][0]["message"]["content"]
        == f"Say {hostile}"
    )
    assert [request["messages"][0]["content"] for request in provider.requests] == [hostile, f"Say {hostile}"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "variable", ["DJANGO_SECRET_KEY", "DATABASE_URL", "TOLLHOUSE_PEPPER", "tollhouse_encryption_keys", "PGPASSWORD"]
)
def test_secrets_of_the_gate_are_no_provider_keys(monkeypatch, variable):
    """Whoever may configure a provider could have them sent anywhere."""
    monkeypatch.setenv(variable, "very-secret")
    made = Provider(name="p", kind="openai", base_url="https://x.example.com/v1", api_key_env=variable)
    with pytest.raises(ValidationError, match="one of the gate's own"):
        made.full_clean()
    made.save()
    target = Target.objects.create(route=Route.objects.create(name="r"), position=0, provider=made, model="m")
    found = load().routes["r"].targets[0].provider
    assert str(target) == "p/m" and found.api_key == "" and "one of the gate's own" in found.missing_key


def test_error_reports_leave_the_gates_secrets_out():
    hidden = get_exception_reporter_filter(None)
    found = hidden.cleanse_setting("TOLLHOUSE", {"PEPPER": "very-secret", "ENCRYPTION_KEYS": ("very-secret",)})
    assert "very-secret" not in str([found, hidden.cleanse_setting("DATABASE_URL", "very-secret")])
    assert settings.SECRET_KEY not in str(hidden.get_safe_settings())


PEPPER, STORED, FROM_ENV, PERSON = "pepper-canary-1", "sk-canary-stored-2", "sk-canary-env-3", "canary.jane@example.com"


def test_secrets_stay_out_of_rows_logs_answers_and_pages(world, tmp_path, admin_client, settings, capsys):
    """Also at the lowest level of logging, and where a provider quotes them."""
    settings.TOLLHOUSE = {"PEPPER": PEPPER, "ALLOW_PRIVATE_UPSTREAMS": True}
    log = tmp_path / "log"
    with ScriptedProvider() as provider:
        policy = world.policy("p", outbound="pseudonymise", entities=["EMAIL_ADDRESS"], stored="redacted")
        encrypted = secrets.encrypt(STORED, bound_to=f"127.0.0.1:{provider.port}")
        stored = world.kind("openai", base_url=provider.base_url, name="stored", api_key_encrypted=encrypted)
        named = world.kind("anthropic", base_url=provider.base_url, name="named", api_key_env="CANARY_API_KEY")
        world.feature("f", (stored, "m"), (named, "m"), policy=policy)
        key, other = world.key(), "th_canary-that-nobody-knows"
        with log.open("wb") as out:
            server = Server(log=out, TOLLHOUSE_PEPPER=PEPPER, CANARY_API_KEY=FROM_ENV, DJANGO_LOG_LEVEL="DEBUG")
        try:
            said = [{"role": "system", "content": f"Mail {PERSON}"}, {"role": "user", "content": f"I am {PERSON}"}]
            answers = []

            def quoting(path, status):
                key = FROM_ENV if path.endswith("/messages") else STORED
                return reply({"error": {"message": f"Bad key {key}", "type": key}}, status=status)

            for script in (
                sound, lambda path, _: quoting(path, b"401 No"), lambda path, _: quoting(path, b"503 No"), lambda *_: reply(b"<html>"),
                lambda *_: stream(b"{"), lambda *_: [b""], lambda *_: reply(completion({"tool_calls": 5})),
            ):  # fmt: skip
                provider.answer = script
                for presented in (key, other):
                    for streamed in (False, True):
                        body = {"model": "f", "messages": said, "stream": streamed, "user": PERSON}
                        headers = {"authorization": f"Bearer {presented}", "x-tollhouse-user": PERSON}
                        answers.append(
                            httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=20).text
                        )
            answers += [
                httpx.get(f"{server.url}{path}", headers={"x-api-key": key}).text
                for path in ("/readyz", "/healthz", "/v1/models", "/v1/x", "/admin/x")
            ]
        finally:
            server.stop()
    call_command("catalog", "export", stdout=(exported := StringIO()))
    rows = [
        list(model._default_manager.values())
        for model in apps.get_models()
        if model._meta.app_label.startswith("tollhouse")
    ]
    pages = [
        admin_client.get(reverse(f"admin:tollhouse_gateway_{name}_changelist")).content.decode()
        for name in ("call", "key", "provider", "auditentry")
    ]
    pages += [admin_client.get(reverse("admin:tollhouse_gateway_provider_change", args=[stored.pk])).content.decode()]
    pages += [
        admin_client.get(reverse("admin:tollhouse_gateway_key_change", args=[Key.objects.get().pk])).content.decode()
    ]
    call = admin_client.post(
        reverse("admin:tollhouse_gateway_call_change", args=[Call.objects.latest("id").pk]), {"payload": "1"}
    )
    printed = log.read_text()
    assert Call.objects.count() == 14 and "DEBUG" in printed
    everywhere = {
        "rows": str(rows),
        "log": printed,
        "answers": str(answers),
        "pages": str(pages) + call.content.decode(),
        "export": exported.getvalue(),
    }
    for where, text in everywhere.items():
        for name in (
            key,
            other,
            STORED,
            FROM_ENV,
            PEPPER,
            settings.SECRET_KEY,
            keys.digest(key) if where != "rows" else key,
        ):
            assert name not in text, (where, name)
        assert where == "answers" or PERSON not in text, where
    assert "encrypted" not in exported.getvalue() and encrypted not in str(pages)
