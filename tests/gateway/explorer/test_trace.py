"""Waterfalls, and the command line of a call."""

import subprocess
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from uuid_utils.compat import uuid7

from gateway.explorer.curl import curl
from gateway.explorer.trace import related, waterfall
from gateway.ledger.partitions import first_id
from gateway.models import Call, Step
from tests.rows import make_call

AT = datetime(2026, 11, 21, tzinfo=UTC)
HOSTILE = "'; touch /tmp/never; $(touch /tmp/never) `touch /tmp/never` \"\\ \n!x @/etc/passwd"


def call(second, ms, parent=None):
    return Call(id=first_id(AT + timedelta(seconds=second)), latency_ms=ms, parent=parent and parent.id)


@pytest.mark.django_db
def test_calls_stand_where_they_were_in_time_and_long_pauses_are_cut_out():
    first = call(0, 4000)
    child = call(1, 1000, first)
    grandchild = call(1.5, 250, child)
    later = call(3600, 4000)
    lines = waterfall([first, child, grandchild, later])
    assert [(s.start, s.width, s.depth) for s in lines] == [
        (0, 500, 0), (125, 125, 1), (188, 31, 2), (500, 500, 0),
    ]  # fmt: skip
    assert [round(s.pause_s) for s in lines] == [0, 0, 0, 3596]
    assert waterfall([]) == []
    assert [(s.start, s.width) for s in waterfall([call(0, 0)])] == [(0, 4)]


def step(second, ms, parent=None, **values):
    return Step(id=first_id(AT + timedelta(seconds=second)), latency_ms=ms, parent=parent and parent.id, **values)


@pytest.mark.django_db
def test_calls_and_steps_stand_below_what_they_were_made_in_also_where_two_went_on_at_once():
    answer = step(0, 4000)
    one, other = step(0.5, 2000, answer), step(1, 2000, answer)
    in_other, in_one = call(1.25, 250, other), call(1.5, 500, one)
    tool = step(3, 500, in_one)
    younger = step(0.25, 10)
    younger.parent = in_one.id
    lines = waterfall([in_one, tool, in_other, younger, one, answer, other])
    assert [(line.item, line.depth, line.start) for line in lines] == [
        (answer, 0, 0), (one, 1, 125), (in_one, 2, 375), (tool, 3, 750), (other, 1, 250), (in_other, 2, 312), (younger, 0, 62),
    ]  # fmt: skip
    assert [line.call or line.step for line in lines] == [line.item for line in lines]


@pytest.mark.django_db
def test_the_calls_around_a_call_are_its_family_and_its_trace():
    parent = make_call(trace_id="aa" * 16)
    middle = make_call(parent=parent.id)
    sibling, child = make_call(parent=parent.id), make_call(parent=middle.id)
    traced, alone = make_call(trace_id="aa" * 16), make_call()
    make_call(trace_id="bb" * 16)

    def around(call, *, steps=False):
        return set(related(call, Call.objects.all(), Step.objects.all() if steps else Step.objects.none()))

    assert around(middle) == {parent, middle, sibling, child}
    assert around(parent) == {parent, middle, sibling, traced}
    assert around(alone) == set()
    # A tool that a call asked for, in a trace of its own, and what was called in it.
    tool = Step(id=uuid7(), parent=alone.id, kind="tool", name="t", trace_id="cc" * 16)
    tool.began_at, tool.latency_ms, tool.outcome = tool.started_at, 1, "ok"
    other = Step(
        id=uuid7(), began_at=tool.began_at, kind="tool", name="o", latency_ms=1, outcome="ok", trace_id="dd" * 16
    )
    Step.objects.bulk_create([tool, other])
    inside, beside = make_call(parent=tool.id, trace_id="cc" * 16), make_call(parent=tool.id)
    for one in (alone, inside, beside):
        assert around(one, steps=True) == {alone, tool, inside, beside}, one
    assert around(alone) == set()


def test_a_shell_reads_the_command_as_it_is_meant(tmp_path):
    row = Call(
        id=UUID(int=1), feature=HOSTILE, tenant=HOSTILE, session_id="s", cohort="", operation="chat", streamed=True
    )
    said = [{"role": "user", "content": HOSTILE}]
    # A function stands in for curl and tells its arguments.
    script = f"curl() {{ printf '%s\\0' \"$@\"; }}\n{curl(row, 'https://x.example', said)}"
    run = subprocess.run(
        ["sh", "-euc", script], capture_output=True, check=True, env={"TOLLHOUSE_KEY": "th_1"}, cwd=tmp_path
    )
    url, *rest = run.stdout.decode().rstrip("\0").split("\0")
    assert url == "https://x.example/v1/chat/completions"
    headers = [value for flag, value in zip(rest[::2], rest[1::2], strict=True) if flag == "-H"]
    assert headers[0] == "Authorization: Bearer th_1" and "X-Tollhouse-Session: s" in headers
    assert not any("\n" in header for header in headers)
    assert orjson.loads(rest[-1]) == {"model": HOSTILE, "messages": said, "stream": True}
    assert not run.stderr and list(tmp_path.iterdir()) == []


def test_without_what_was_said_the_command_has_a_gap_to_fill():
    assert '"content": "…"' in curl(Call(feature="f", operation="chat"), "http://x")
    assert "/v1/embeddings" in curl(Call(feature="f", operation="embeddings"), "http://x")
