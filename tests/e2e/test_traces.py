"""The trace of an answer in a real browser: steps and calls as bars, and what is said of a call by a click."""

from datetime import timedelta

from django.utils import timezone
from uuid_utils.compat import uuid7

import gateway
from gateway.models import Score, Step
from tests.rows import make_call
from tests.world import World


def step(at, ms, kind, name, parent=None, **values):
    id = uuid7(nanoseconds=int(at.timestamp() * 1e9))
    row = Step(
        id=id, parent=parent, began_at=at, kind=kind, name=name, latency_ms=ms, tenant="acme", session_id="s-1",
        trace_id="ab" * 16, **{"outcome": "ok", **values},
    )  # fmt: skip
    return Step.objects.bulk_create([row])[0]


def answer():
    """An agent's answer: two searches at once, a call that asks for a tool, the tool, and the reply."""
    World("http://127.0.0.1:9/v1").feature("support.reply")
    start = timezone.now() - timedelta(minutes=5)

    def at(ms):
        return start + timedelta(milliseconds=ms)

    own = {"tenant": "acme", "session_id": "s-1", "trace_id": "ab" * 16}
    top = step(at(0), 4300, "step", "answer_ticket")
    search = step(at(20), 900, "retrieval", "search_docs", top.id, counts={"documents": 8})
    make_call(at=at(40), feature="docs.embed", operation="embeddings", parent=search.id, latency_ms=180, **own)
    step(at(30), 1400, "retrieval", "search_tickets", top.id, outcome="error", error_class="TimeoutError")
    first = make_call(at=at(1450), parent=top.id, tool_calls=1, latency_ms=900, **own)
    step(at(2400), 350, "tool", "lookup_order", first.id, counts={"rows": 1})
    reply = make_call(at=at(2800), parent=top.id, latency_ms=1450, **own)
    for number, call in enumerate((first, reply)):
        gateway.score(call.id, "edit", 0.25 * number, user="ann")
        gateway.score(call.id, "eval", number == 0, name="grounded")
    return reply


def test_a_trace_shows_what_was_done_around_a_call_and_takes_what_is_said_of_it(visitor):
    call, page = answer(), visitor.page
    visitor.open(f"/admin/tollhouse_gateway/call/{call.id}/change/", "trace-call")
    lines = page.locator(".th-steps .th-line .name")
    assert [text.split()[0] for text in lines.all_inner_texts()] == [
        "answer_ticket", "search_docs", "docs.embed", "search_tickets", "support.reply", "lookup_order", "support.reply",
    ]  # fmt: skip
    deep = [line.get_attribute("class").rpartition("-")[2] for line in lines.all()]
    assert deep == ["0", "1", "2", "1", "1", "2", "1"]
    lefts = [bar.bounding_box()["x"] for bar in page.locator(".th-steps rect:not(.track)").all()]
    assert lefts[0] < lefts[1] < lefts[2] < lefts[4] < lefts[5] < lefts[6]
    assert "25% changed" in page.inner_text("#scores") and "failed" in page.inner_text("#scores")
    visitor.go("text=Good")
    page.wait_for_selector("text=Noted.")
    visitor.look("trace-scored")
    assert Score.objects.get(source="staff:admin").value == 1 and "admin" in page.inner_text("#scores")
    visitor.go("dl a:text-is('s-1')")
    page.wait_for_selector("h1:text-is('Session s-1')")
    visitor.look("trace-session")
    assert page.locator(".th-steps .th-line").count() == 7
