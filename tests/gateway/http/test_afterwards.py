"""Scores over HTTP: whose calls a key may score, and what it is told."""

from datetime import timedelta

import httpx
import pytest
from django.utils import timezone
from uuid_utils.compat import uuid7

from gateway import keys
from gateway.models import Call, Score, Step
from tests.rows import make_call


@pytest.fixture
def post(world, server):
    """Posts a score of a call, with a key of that name."""
    world.feature("support.reply")
    made = {name: world.key(*features, name=name, tenant=tenant) for name, features, tenant in (
        ("any", ["*"], ""), ("acme", ["support.*"], "acme"), ("other", ["search.*"], ""))}  # fmt: skip
    server.catch_up()

    with httpx.Client(base_url=server.url, timeout=30) as client:

        def send(call, body, key="any", to="scores", **headers):
            headers = {"authorization": f"Bearer {made.get(key, key)}", **headers}
            content = {"content": body} if isinstance(body, bytes) else {"json": body}
            answer = client.post(f"/v1/calls/{call}/{to}", headers=headers, **content)
            return answer.status_code, answer.json()

        send.client = client
        yield send


def test_a_key_scores_calls_of_its_features_and_of_its_tenant_alone(post):
    acme, umbrella = make_call(tenant="acme").id, make_call(tenant="umbrella").id
    status, told = post(acme, {"kind": "feedback", "value": True}, **{"x-tollhouse-user": "ann"})
    score = Score.objects.get()
    assert (status, told) == (
        201, {"id": str(score.id), "object": "score", "call_id": str(acme), "kind": "feedback", "value": 1.0},
    )  # fmt: skip
    assert (score.source, score.author) == ("user", keys.user_ref("ann"))
    again = post(acme, {"kind": "feedback", "value": 1}, **{"x-tollhouse-user": "ann"})
    assert again == (200, told)
    assert post(acme, {"kind": "eval", "name": "tone", "value": True}, "acme")[1]["name"] == "tone"
    assert post(acme, {"kind": "edit", "value": 0.5}, "acme")[0] == 201
    assert post(umbrella, {"kind": "edit", "value": 0.5})[0] == 201
    assert set(Score.objects.values_list("kind", "source")) == {
        ("feedback", "user"), ("eval", "eval"), ("edit", "key:acme"), ("edit", "key:any"),
    }  # fmt: skip
    refused = [
        post(umbrella, {"kind": "edit", "value": 0.1}, "acme"), post(acme, {"kind": "edit", "value": 0.1}, "other"),
        post(uuid7(), {"kind": "edit", "value": 0.1}), post("x", {"kind": "edit", "value": 0.1}),
        post(umbrella, {"kind": "edit", "value": 0.1}, **{"x-tollhouse-tenant": "acme"}),
    ]  # fmt: skip
    assert [status for status, _ in refused] == [404] * 5
    assert len({told["error"]["message"].replace(str(acme), str(umbrella)) for _, told in refused[:2]}) == 1
    assert post(acme, {"kind": "edit", "value": 0}, "acme", **{"x-tollhouse-tenant": "umbrella"})[0] == 403
    assert post(acme, {"kind": "edit", "value": 0}, "th_wrong")[0] == 401
    bad = [
        ({"kind": "comment", "value": 1}, "`kind` must be"), ({"kind": "edit"}, "`value` of edit"), ([], "JSON object"),
        ({"kind": "eval", "value": True, "name": ["x"]}, "`name` must be"), (b"{" + b" " * 10_001, "larger than 10,000"),
        ({"kind": "feedback", "value": 1, "comment": "Ann was rude"}, "no text"), (b"{", "not valid JSON"),
    ]  # fmt: skip
    for body, words in bad:
        status, told = post(acme, body)
        assert status == 400 and words in told["error"]["message"], body
    assert post.client.get(f"/v1/calls/{acme}/scores").status_code == 400
    assert post.client.post(f"/v1/calls/{acme}").status_code == 404
    assert Score.objects.count() == 4
    steps_are_told_alike(post, acme, umbrella)


def steps_are_told_alike(post, acme, umbrella):
    """A key adds steps to calls of its features and its tenant; what they say of whom is what their call says."""
    step = {"kind": "tool", "name": "look up?", "latency_ms": 1500, "ended_ms_ago": 250.5, "counts": {"orders": 2}}
    status, told = post(acme, step, "acme", "steps")
    row = Step.objects.get()
    assert (status, told) == (
        201, {"id": str(row.id), "object": "step", "call_id": str(acme), "kind": "tool", "name": "look_up_"},
    )  # fmt: skip
    call = Call.objects.get(id=acme)
    assert (row.parent, row.tenant, row.user_ref, row.session_id) == (acme, "acme", call.user_ref, call.session_id)
    assert (row.latency_ms, row.outcome, row.counts, row.trace_id) == (1500.0, "ok", {"orders": 2}, call.trace_id)
    assert row.began_at == row.started_at < call.started_at, "it ended before this call was made, so it began then"
    # Told once more with its key, be it later and by whatever was tried again, it is the same.
    first = post(umbrella, step, to="steps", **{"idempotency-key": "try-1"})
    again = post(umbrella, {**step, "ended_ms_ago": 9000, "name": "other"}, to="steps", **{"idempotency-key": "try-1"})
    other = post(umbrella, step, to="steps", **{"idempotency-key": "try-2"})
    assert (first[0], again, other[0]) == (201, (200, first[1]), 201) and first[1]["id"] != other[1]["id"]
    assert post(umbrella, step, to="steps", **{"idempotency-key": "x" * 256})[0] == 400
    assert Step.objects.filter(parent=umbrella).count() == 2
    Step.objects.filter(parent=umbrella).delete()
    failed = post(acme, {**step, "outcome": "error", "error_class": "TimeoutError", "counts": {}}, to="steps")
    assert failed[0] == 201 and Step.objects.latest("id").error_class == "TimeoutError"
    old = make_call(at=timezone.now() - timedelta(hours=25)).id
    for call, key, status in (
        (umbrella, "acme", 404), (acme, "other", 404), (uuid7(), "any", 404), ("x", "any", 404), (old, "any", 400), (acme, "th_no", 401),
    ):  # fmt: skip
        assert post(call, step, key, "steps")[0] == status
    assert post(acme, {**step, "result": "Ann owes 5"}, to="steps")[1]["error"]["message"].endswith("and no text.")
    assert post.client.get(f"/v1/calls/{acme}/steps").status_code == 400
    assert Step.objects.count() == 2
