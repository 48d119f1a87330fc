"""A real receiver: Arize Phoenix shows model, tokens and cost of the calls of the product's server.

Opt-in, as it is large: install `arize-phoenix` in an environment of its own and name its interpreter,
`PHOENIX_PYTHON=…/bin/python pytest tests/gateway/telemetry/test_phoenix.py`.
"""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from gateway.models import Call
from tests.gateway.test_nothing_raw import post
from tests.server import Server, free_port

PYTHON = os.environ.get("PHOENIX_PYTHON", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="PHOENIX_PYTHON names no interpreter with arize-phoenix")
QUERY = """{projects{edges{node{name spans(first:50){edges{node{
name statusCode tokenCountTotal tokenCountPrompt costSummary{total{cost}} attributes}}}}}}}"""


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if body is not None else text


def until(condition, limit_s=120):
    deadline = time.monotonic() + limit_s
    while True:
        try:
            if found := condition():
                return found
        except (urllib.error.URLError, OSError):
            pass
        assert time.monotonic() < deadline
        time.sleep(0.3)


@pytest.fixture
def phoenix(tmp_path):
    port, grpc_port = free_port(), free_port()
    variables = {
        "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(grpc_port), "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_WORKING_DIR": str(tmp_path), "PHOENIX_TELEMETRY_ENABLED": "false", "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }  # fmt: skip
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | variables
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, "-m", "phoenix.server.main", "serve"], env=environment, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: ask(f"{url}/healthz") is not None)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def test_phoenix_shows_model_tokens_and_cost(world, provider, phoenix):
    world.price("gpt-4o-mini")
    world.feature("f", "gpt-4o-mini", "status:500")
    server = Server(
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{phoenix}/v1/traces", OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_BSP_SCHEDULE_DELAY="100", TOLLHOUSE_TELEMETRY_DIALECTS="openinference",
    )  # fmt: skip
    try:
        key = world.key()
        server.catch_up()
        body = {"model": "f", "messages": [{"role": "user", "content": "Where is my order?"}]}
        assert post(server, key, "/v1/chat/completions", body)[0] == 200

        def shown():
            projects = ask(f"{phoenix}/graphql", {"query": QUERY})["data"]["projects"]["edges"]
            spans = [edge["node"] for project in projects for edge in project["node"]["spans"]["edges"]]
            return [span for span in spans if span["name"] == "chat gpt-4o-mini"]

        (span,) = until(shown, 30)
        row = Call.objects.get()
        said = json.loads(span["attributes"])
        assert said["llm"]["model_name"] == row.model_served and said["openinference"]["span"]["kind"] == "LLM"
        assert (
            span["tokenCountTotal"]
            == row.input_tokens + row.cache_read_tokens + row.output_tokens + row.reasoning_tokens
        )
        assert said["llm"]["cost"]["total"] == pytest.approx(float(row.cost_usd))
        assert said["tollhouse"]["feature"] == "f"
        # What Phoenix reckons itself, from the tokens and its own table of prices.
        assert until(lambda: shown()[0]["costSummary"]["total"]["cost"], 30) > 0
    finally:
        server.stop()
