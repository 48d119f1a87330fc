"""Scores over HTTP: whose calls a key may score, and what it is told."""

import httpx
import pytest
from uuid_utils.compat import uuid7

from gateway import keys
from gateway.models import Score
from tests.rows import make_call


@pytest.fixture
def post(world, server):
    """Posts a score of a call, with a key of that name."""
    world.feature("support.reply")
    made = {name: world.key(*features, name=name, tenant=tenant) for name, features, tenant in (
        ("any", ["*"], ""), ("acme", ["support.*"], "acme"), ("other", ["search.*"], ""))}  # fmt: skip
    server.catch_up()

    with httpx.Client(base_url=server.url, timeout=30) as client:

        def send(call, body, key="any", **headers):
            headers = {"authorization": f"Bearer {made.get(key, key)}", **headers}
            content = {"content": body} if isinstance(body, bytes) else {"json": body}
            answer = client.post(f"/v1/calls/{call}/scores", headers=headers, **content)
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
