"""Personal data goes through every path of the gate; afterwards it stands in no table, log, span, spool or temporary file."""

import contextlib
import json
import socket
import traceback
import urllib.error
import urllib.request

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import gateway
from budgets.models import Budget
from gateway import engine
from gateway.errors import GatewayError, PolicyRefused
from gateway.models import Call, Payload, PromptVersion
from redaction.models import RedactionPolicy
from tests.proxy import DatabaseProxy
from tests.server import Server

#: What is looked for afterwards; nothing else in the tests has these.
MAIL, CARD, NAME = "zebedee.quark@example.com", "4000 0566 5566 5556", "Wolframite"
MARKS = (MAIL, "zebedee", CARD, CARD.replace(" ", ""), NAME)
TEXT = f"Dear Ms {NAME}, write to {MAIL}; my card is {CARD}."
#: Two ways: nothing leaves, and everything leaves but nothing is kept.
POLICIES = {"strict": "pseudonymise", "open": "off"}
MODELS = {
    "echo": "echo", "tool": "tool", "quote": "quote:400", "quotes": "quote:503", "status": "status:500", "cut": "cut",
    "garbage": "garbage", "event": "error-event", "truncated": "truncated", "slow": "hang",
}  # fmt: skip


def post(server, key, path, body, **headers):
    """Status and text of an answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json", **headers}
    request = urllib.request.Request(f"{server.url}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        # A stream that broke off, as its provider's did.
        return 0, str(error)


def messages(text=TEXT):
    """A conversation with the text wherever one can stand."""
    arguments = json.dumps({"to": text, text: 1})
    call = {"id": "c1", "type": "function", "function": {"name": "mail", "arguments": arguments}}
    return [
        {"role": "system", "content": f"Serve. {text}"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": json.dumps({"rows": [{"who": text}]}),
            "custom": text,
            text: 1,
        },
        {
            "role": "user",
            "name": text,
            "content": [
                {"type": "text", "text": text, text: 1},
                {"type": "file", "file": {"filename": text, "file_data": text}},
            ],
        },
    ]


def beside(text=TEXT):
    """What may stand beside the messages, with the text wherever one can."""
    schema = {"type": "object", "description": text, "properties": {"to": {"type": "string", "enum": ["a", text]}}}
    function = {"name": "mail", "description": text, "parameters": schema}
    return {
        "user": MAIL, "metadata": {"who": text, text: "key"}, "stop": [text], "prediction": {"type": "content", "content": text},
        "tools": [{"type": "function", "function": function}], "made_up": [{"deep": text}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "description": text, "schema": schema}},
    }  # fmt: skip


@contextlib.contextmanager
def exported():
    """What OpenTelemetry exports of this process meanwhile, with everything in it, as texts."""
    found, exporter, provider = [], InMemorySpanExporter(), trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield found
    found += [span.to_json() for span in exporter.get_finished_spans()]
    exporter.shutdown()


def leave_in_mid_stream(server, key, model):
    """Asks for a stream and goes away after its first bytes."""
    body = json.dumps({"model": model, "stream": True, "messages": messages()}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(head.encode() + body)
        client.settimeout(1)
        with contextlib.suppress(TimeoutError):
            client.recv(100)


def call_in_process():
    """Calls of an application through the Python API; what goes wrong says so without the text."""
    for name in POLICIES:
        for slug in MODELS.keys() - {"slow"}:
            with contextlib.suppress(GatewayError):
                gateway.complete(f"{name}-{slug}", messages=messages(), **beside())
        with contextlib.suppress(GatewayError):
            gateway.complete(f"{name}-slow", {"x": TEXT, TEXT: 1})
        gateway.embed(f"{name}-echo", [TEXT])
        stream = gateway.stream(f"{name}-echo", messages=messages())
        next(iter(stream))
        stream.close()
    with pytest.raises(PolicyRefused) as raised:
        gateway.complete("refusing", messages=messages(), **beside())
    assert marks_in("".join(traceback.format_exception_only(raised.value))) == []


def everywhere():
    """Every row of every table as text, by table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT t::text FROM {table} t")
            yield table, "\n".join(row for (row,) in cursor.fetchall())


def marks_in(text):
    """Those of the marks that a text holds, as they are, escaped as JSON, or as bytes in hexadecimal digits."""
    lower = text.lower()
    return [mark for mark in MARKS if mark.lower() in lower or mark.encode().hex() in lower]


@pytest.fixture
def configured(world):
    """A feature for each policy and model; a key for all of them."""
    for name, outbound in POLICIES.items():
        policy = world.policy(name, outbound=outbound)
        for slug, model in MODELS.items():
            route = {"timeout_s": 1, "first_token_timeout_s": 1} if model == "hang" else {}
            feature = world.feature(
                f"{name}-{slug}", model, policy=policy, route=route, on_ledger_away="spool", spool_limit_usd=100,
                cache_ttl_s=60 if slug == "truncated" else 0,
            )  # fmt: skip
        world.prompt(feature, {"messages": [{"role": "user", "content": "Answer {{ x }}"}]})
    world.feature("session", policy=world.policy("session", outbound="pseudonymise", pseudonyms="session"))
    world.feature("refusing", policy=world.policy("refusing", outbound="refuse"))
    world.feature("poor", policy=RedactionPolicy.objects.get(name="strict"))
    Budget.objects.create(feature="poor", limit="0.000001")
    Budget.objects.create(feature="strict-echo", limit="0.5", soft_percent=[1])
    return world.key()


@pytest.fixture
def watched(world, tmp_path):
    """A server of which everything that it writes lies in one folder; its database can be cut off."""
    spool, temporary = tmp_path / "spool", tmp_path / "temporary"
    spool.mkdir()
    temporary.mkdir()
    variables = {"TOLLHOUSE_SPOOL_DIR": str(spool), "TMPDIR": str(temporary), "DJANGO_LOG_LEVEL": "DEBUG",
                 "TOLLHOUSE_LEDGER_TIMEOUT_S": "0.5", "TOLLHOUSE_CATALOG_POLL_S": "0.5"}  # fmt: skip
    with DatabaseProxy() as proxy, (tmp_path / "log").open("wb") as log:
        server = Server(log=log, DATABASE_URL=proxy.url, **variables)
        yield server, proxy, spool
        proxy.mend()
        server.stop()


def test_nothing_raw_is_anywhere(configured, watched, provider, tmp_path, admin_client, capsys, caplog):
    key = configured
    caplog.set_level("DEBUG", "tollhouse")
    server, proxy, spool = watched
    server.catch_up()
    provider.pause_s = 0.002
    answers = []

    def ask(path, body, **headers):
        answers.append(post(server, key, path, body, **headers))
        return answers[-1]

    for name in POLICIES:
        for slug in MODELS:
            for stream in (False, True):
                body = {"model": f"{name}-{slug}", "messages": messages(), **beside()}
                ask("/v1/chat/completions", {**body, "stream": stream}, **{"x-tollhouse-user": MAIL})
        ask("/v1/chat/completions", {"model": f"{name}-slow", "variables": {"x": TEXT}})
        ask("/v1/chat/completions", {"model": f"{name}-slow", "variables": {"x": TEXT, "y": TEXT}})
        ask("/v1/embeddings", {"model": f"{name}-echo", "input": [TEXT, MAIL]})
        for stream in (False, True):
            tool = {"name": "mail", "description": TEXT}
            tools = [{"type": "function", **tool, "parameters": {"type": "object", "title": TEXT}}]
            body = {
                "model": f"{name}-echo",
                "input": TEXT,
                "instructions": TEXT,
                "tools": tools,
                "metadata": {"who": TEXT},
            }
            ask("/v1/responses", {**body, "stream": stream})
            tools = [{**tool, "input_schema": {"type": "object", "title": TEXT}}]
            body = {
                "model": f"{name}-echo",
                "max_tokens": 9,
                "system": TEXT,
                "messages": [{"role": "user", "content": TEXT}],
            }
            ask(
                "/v1/messages",
                {**body, "tools": tools, "stop_sequences": [TEXT], "metadata": {"user_id": MAIL}, "stream": stream},
            )
        ask("/v1/chat/completions", {"model": f"{name}-echo", "messages": messages(), "n": TEXT})
        ask("/v1/chat/completions", {"model": f"{name}-echo", "messages": TEXT})
        leave_in_mid_stream(server, key, f"{name}-echo")
    assert (
        ask("/v1/chat/completions", {"model": "session", "messages": messages()}, **{"x-tollhouse-session": "s1"})[0]
        == 200
    )
    assert ask("/v1/chat/completions", {"model": "refusing", "messages": messages()})[0] == 403
    assert ask("/v1/chat/completions", {"model": "poor", "messages": messages()})[0] == 429
    assert ask("/v1/chat/completions", {"model": TEXT, "messages": messages()})[0] == 404
    assert (
        ask("/v1/chat/completions", json.dumps({"model": "strict-echo", "messages": messages()}).encode()[:-2])[0]
        == 400
    )
    proxy.cut()
    for name in POLICIES:
        assert ask("/v1/chat/completions", {"model": f"{name}-echo", "messages": messages()})[0] == 200
    spooled = b"".join(file.read_bytes() for file in spool.rglob("*") if file.is_file())
    proxy.mend()
    assert len(spooled) > 500 and marks_in(spooled.decode("latin-1")) == []

    # In this process: the playground, the tester, pages, exports.
    with override_settings(TOLLHOUSE={"ALLOW_PRIVATE_UPSTREAMS": True}):
        for version in PromptVersion.objects.filter(origin="catalog"):
            form = {"content": 'messages = [{role = "user", content = "{{ x }}"}]', "variables": json.dumps({"x": TEXT}), "run": "1",
                    "route": "strict-echo"}  # fmt: skip
            admin_client.post(f"/admin/tollhouse_gateway/promptversion/playground/?version={version.pk}", form)
        with exported() as spans:
            call_in_process()
    assert len(spans) >= 2 * len(MODELS) and marks_in("".join(spans)) == []
    assert marks_in(caplog.text) == []
    policy = RedactionPolicy.objects.get(name="strict")
    tried = admin_client.post(
        f"/admin/tollhouse_redaction/redactionpolicy/{policy.pk}/try/", {"text": TEXT, "part": "prompts"}
    )
    assert MAIL in tried.content.decode()
    engine.stop()
    server.stop()
    pages = [admin_client.get(f"/admin/tollhouse_gateway/call/{call.pk}/change/") for call in Call.objects.all()[:40]]
    pages += [admin_client.get(path) for path in ("/admin/", "/admin/tollhouse_gateway/call/", "/admin/tollhouse_budgets/alert/",
                                                  "/admin/tollhouse_gateway/promptversion/", "/admin/tollhouse_gateway/auditentry/")]  # fmt: skip
    capsys.readouterr()
    call_command("catalog", "export")
    assert marks_in(capsys.readouterr().out) == []
    assert [marks_in(page.content.decode()) for page in pages if marks_in(page.content.decode())] == []

    for table, text in everywhere():
        assert marks_in(text) == [], table
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert marks_in(file.read_bytes().decode("latin-1")) == [], file
    assert (tmp_path / "log").stat().st_size > 0

    # That the paths were taken, and that what went out did go out as each policy says.
    outcomes = set(Call.objects.values_list("outcome", flat=True))
    assert outcomes >= {"ok", "truncated", "cancelled", "provider_error", "timeout", "refused_policy", "refused_budget"}
    assert Call.objects.filter(operation="embeddings").count() == 4 and Payload.objects.count() > 20
    assert sum(MAIL in text for _, text in answers) > 10
    assert any(MAIL in str(request) for request in provider.requests)
    assert any("[EMAIL_ADDRESS_1]" in str(request) for request in provider.requests)
