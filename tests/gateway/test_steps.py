"""Steps: what an application does around its calls, and where it stands in their trace."""

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from uuid_utils.compat import uuid7

import gateway
from gateway import errors, keys, privacy, testing
from gateway.ledger.database import connection_parameters
from gateway.ledger.partitions import first_id
from gateway.models import Call, Step
from gateway.retention import remove
from gateway.steps import tell, writer
from gateway.telemetry import trouble
from tests.rows import make_call

MESSAGES = [{"role": "user", "content": "hello"}]


@pytest.fixture
def written(transactional_db):
    """The steps in the database, by name, once all are there."""

    def read():
        assert writer.flush()
        return {row.name: row for row in Step.objects.all()}

    yield read
    assert writer.flush()


def test_calls_and_steps_inside_of_a_step_are_its_children(world, written):
    world.feature("f")
    with gateway.context(user="ann", tenant="acme", session="s-1"), gateway.step("step", "answer") as answer:
        with gateway.step("retrieval", "search_docs", documents=3) as search:
            search.count(documents=5, chunks=40)
            vectors = gateway.complete("f", messages=MESSAGES)
        reply = gateway.complete("f", messages=MESSAGES)
        with gateway.step("tool", "lookup order!", call=reply.call_id):
            inner = gateway.complete("f", messages=MESSAGES)
    alone = gateway.complete("f", messages=MESSAGES)
    rows = written()
    assert set(rows) == {"answer", "search_docs", "lookup_order_"}
    top, found, tool = rows.values()
    assert (top.id, top.kind, top.parent, top.outcome) == (answer.id, "step", None, "ok")
    assert (found.parent, found.kind, found.counts) == (top.id, "retrieval", {"documents": 5, "chunks": 40})
    assert (tool.parent, tool.kind) == (reply.call_id, "tool")
    assert {(row.tenant, row.user_ref, row.session_id) for row in rows.values()} == {
        ("acme", keys.user_ref("ann"), "s-1")
    }
    calls = {call.id: call for call in Call.objects.all()}
    parents = {id: call.parent for id, call in calls.items()}
    assert parents == {
        vectors.call_id: found.id, reply.call_id: top.id, inner.call_id: tool.id, alone.call_id: None,
    }  # fmt: skip
    traces = {row.trace_id for row in rows.values()} | {calls[id].trace_id for id in parents if id != alone.call_id}
    # In a process that has set tracing up, it is OpenTelemetry's.
    assert traces == {top.trace_id} and len(top.trace_id) == 32 and calls[alone.call_id].trace_id == ""
    assert top.began_at <= found.began_at and 0 < found.latency_ms < top.latency_ms
    assert top.began_at == top.started_at


def test_how_a_step_ended_is_told_and_its_error_goes_on(written):
    with pytest.raises(KeyError), gateway.step("tool", "fails"):
        raise KeyError("secret@example.com")

    async def cancelled():
        async with gateway.step("tool", "leaves"):
            await asyncio.sleep(60)

    async def run():
        task = asyncio.create_task(cancelled())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(run())
    rows = written()
    assert [(row.name, row.outcome, row.error_class) for row in rows.values()] == [
        ("fails", "error", "KeyError"), ("leaves", "cancelled", "CancelledError"),
    ]  # fmt: skip
    assert "secret" not in str(Step.objects.values())


def test_tasks_and_threads_have_the_step_in_which_they_were_begun(written):
    async def part(name):
        async with gateway.step("retrieval", name):
            await asyncio.sleep(0)

    async def run():
        async with gateway.step("step", "both"):
            await asyncio.gather(part("one"), part("two"), asyncio.to_thread(_inside, "three"))
        async with gateway.step("step", "after"):
            pass

    asyncio.run(run())
    rows = written()
    assert {rows[name].parent for name in ("one", "two", "three")} == {rows["both"].id}
    assert rows["after"].parent is None and rows["after"].trace_id != rows["both"].trace_id


def _inside(name):
    with gateway.step("tool", name):
        pass


def test_what_is_wrong_with_a_step_never_reaches_the_block(written, caplog):
    def nobody_knows():
        raise RuntimeError("the session is gone")

    with gateway.context(user=nobody_knows), gateway.step("step", "whose"):
        pass
    assert (written()["whose"].user_ref, written()["whose"].tenant) == ("", "")
    assert "it was not to be found out whose it is" in caplog.text

    def generator():
        with gateway.step("step", "generator"):
            yield

    rest = generator()
    ThreadPoolExecutor().submit(next, rest).result()
    rest.close()
    assert written()["generator"].outcome == "cancelled"


@pytest.mark.parametrize(
    "given, words",
    [
        ({"kind": "search"}, "`kind` must be one of retrieval, tool, step"),
        ({"call": "x"}, "`call` must be the `call_id`"),
        ({"documents": 1.5}, "whole numbers"),
        ({"query": "Where does Ann live?"}, "whole numbers"),
        ({f"n{n}": n for n in range(9)}, "at most 8 counts"),
    ],
)
def test_what_a_step_cannot_be_is_said_when_it_is_made(given, words):
    with pytest.raises(errors.InvalidRequest, match=words):
        gateway.step(given.pop("kind", "tool"), "x", **given)


def test_while_the_database_is_away_steps_wait_and_those_beyond_the_bound_are_told_of(written, caplog):
    rows, place = [], {"host": "/nowhere"}
    with writer.standing_in(rows.append):
        for number in range(5):
            with gateway.step("tool", f"t{number}"):
                pass
    own = writer.Writer(lambda: place or connection_parameters(), most=3, background=False)
    for row in rows:
        own.note(row)
    assert not own.write()
    assert (
        "2 were dropped, as 3 others wait" in caplog.text and "3 wait for the database: OperationalError" in caplog.text
    )
    assert trouble.state()["dropped"]["steps"] >= 2 and "steps" in trouble.failing()
    place.clear()
    assert own.write() and "steps" not in trouble.failing()
    own.note(rows[0])
    assert own.write(), "a batch is repeated where its answer was lost"
    assert set(written()) == {"t0", "t1", "t2"}


def test_a_process_that_ends_or_forks_writes_each_step_once(written):
    with gateway.step("tool", "before"):
        pass
    child = os.fork()
    if not child:
        with gateway.step("tool", "in the child"):
            pass
        os._exit(0 if writer.flush() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert sorted(written()) == ["before", "in_the_child"]


def test_a_row_that_cannot_be_written_does_not_keep_others_waiting(written, caplog):
    own = writer.Writer(background=False)
    own.note({"id": "no id"})
    with caplog.at_level(logging.ERROR):
        assert own.write()
    assert "1 cannot be written: InvalidTextRepresentation" in caplog.text


def row_at(at, **values):
    return Step.objects.bulk_create([
        Step(id=first_id(at), began_at=at, kind="tool", name="t", latency_ms=1, outcome="ok", **values)
    ])[0]  # fmt: skip


@pytest.mark.django_db
def test_steps_expire_and_go_with_their_person(db):
    now = timezone.now()
    with remove.seeing_expired():
        row_at(now - timedelta(days=91))
    assert not Step.objects.exists()
    assert remove.remove()["step"] == {"rows": 1}
    ann = keys.user_ref("ann")
    call = make_call(user_ref=ann, session_id="s-1", tenant="acme")
    row_at(now, user_ref=ann)
    row_at(now - timedelta(seconds=1), parent=call.id)
    row_at(now - timedelta(seconds=2), session_id="s-1", tenant="acme")
    kept = row_at(now - timedelta(seconds=3), session_id="s-1", tenant="umbrella")
    assert len(privacy.export(ann, actor="dpo")["step"]) == 3
    assert privacy.erase(ann, actor="dpo", reason="r")["step"] == 3
    assert Step.objects.get() == kept


def test_a_stub_takes_steps_and_writes_none(db):
    with testing.stub(features=["f"]) as llm:
        llm.reply("x")
        with gateway.step("tool", "lookup", rows=2) as step:
            gateway.complete("f", messages=MESSAGES)
    assert [(one.kind, one.name, one.outcome, one.counts) for one in llm.steps] == [
        ("tool", "lookup", "ok", {"rows": 2})
    ]
    assert llm.calls[0].row["parent"] == step.id == llm.steps[0].row["id"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "thought"}, "`kind` must be one of retrieval, tool, step"), ({"name": ""}, "`name` must say"), ({"name": 7}, "`name` must say"),
        ({"latency_ms": None}, "`latency_ms` must be a number of milliseconds"), ({"latency_ms": -1}, "`latency_ms` must"),
        ({"latency_ms": True}, "`latency_ms` must"), ({"ended_ms_ago": 1e9}, "`ended_ms_ago` must"), ({"outcome": "fine"}, "`outcome` must be"),
        ({"error_class": "TimeoutError"}, "of a step that is not ok"), ({"outcome": "error", "error_class": "it failed"}, "never its message"),
        ({"counts": [1]}, "`counts` must be"), ({"counts": {"n": 0.5}}, "counts whole numbers"), ({"counts": {f"n{n}": 1 for n in range(9)}}, "at most 8"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_step_told_over_http_is_refused_and_says_what_can(changes, words):
    with pytest.raises(errors.InvalidRequest) as found:
        tell.checked(uuid7(), {"kind": "tool", "name": "look_up", "latency_ms": 5, **changes})
    assert words in found.value.message


@pytest.mark.django_db
def test_a_call_has_so_many_steps_at_most():
    with pytest.raises(errors.NotFound):
        tell.checked("x", {"kind": "tool", "name": "look_up", "latency_ms": 5})
    call, other = make_call(), make_call()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tollhouse_step (id, parent, began_at, kind, name, latency_ms, outcome, error_class, counts, tenant, user_ref,"
            " session_id, trace_id, span_id) SELECT uuidv7(), %s, now(), 'tool', 'n', 1, 'ok', '', '{}', '', '', '', '', ''"
            " FROM generate_series(2, %s)",
            [call.id, tell.MOST],
        )
    of = {one: tell.checked(one.id, {"kind": "tool", "name": "look_up", "latency_ms": 5}) for one in (call, other)}
    tell.tell(of[call], lambda feature, tenant: True)
    with pytest.raises(errors.InvalidRequest, match="at most 1,000 steps"):
        tell.tell(of[call], lambda feature, tenant: True)
    tell.tell(of[other], lambda feature, tenant: True)
    assert Step.objects.filter(parent=call.id).count() == tell.MOST
