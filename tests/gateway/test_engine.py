"""One engine per process, usable from anywhere, also after a fork."""

import asyncio
import os
import subprocess
import sys
import threading

import pytest
from asgiref.sync import sync_to_async

import gateway
from gateway import engine
from gateway.models import Call, Owner, Step
from tests.server import ROOT, environment

MESSAGES = [{"role": "user", "content": "hello"}]


def test_threads_share_one_engine(world):
    world.feature("f")
    threads = [threading.Thread(target=gateway.complete, args=("f",), kwargs={"messages": MESSAGES}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Call.objects.count() == 8
    assert Owner.objects.filter(pid=os.getpid()).count() == 1
    engine.stop()
    assert Owner.objects.filter(pid=os.getpid()).count() == 0


def test_a_process_that_ends_closes_its_engine_in_silence(world, tmp_path):
    """As a WSGI server, a worker of a queue or a command does, which close it when Python's executors start nothing any more."""
    world.feature("f")
    code = (
        "import django; django.setup(); import gateway\n"
        "with gateway.step('tool', 'look'): gateway.complete('f', messages=[{'role': 'user', 'content': 'hello'}])"
    )
    given = {"TOLLHOUSE_SPOOL_DIR": str(tmp_path), "TOLLHOUSE_METRICS_TOKEN": "0123456789abcdef"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment() | given, stderr=subprocess.PIPE, text=True
    )
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
    assert Call.objects.count() == Step.objects.count() == 1
    assert not Owner.objects.filter(pid=process.pid).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_starts_an_engine_of_its_own(world):
    world.feature("f")
    gateway.complete("f", messages=MESSAGES)
    child = os.fork()
    if child == 0:
        # Nothing may escape into the test runner's copy.
        status = 1
        try:
            status = 0 if gateway.complete("f", messages=MESSAGES).text == "hello" else 2
            engine.stop()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gateway.complete("f", messages=MESSAGES)
    assert Call.objects.count() == 3


async def test_blocking_the_engine_s_own_loop_is_refused(world):
    await sync_to_async(world.feature)("f")
    await engine.adopt()
    try:
        with pytest.raises(RuntimeError, match="await acomplete"):
            gateway.complete("f", messages=MESSAGES)
        assert (await gateway.acomplete("f", messages=MESSAGES)).text == "hello"
        # Synchronous code of the same process, in a thread, uses the same gate.
        assert (await asyncio.to_thread(gateway.complete, "f", messages=MESSAGES)).text == "hello"
        assert await Owner.objects.filter(pid=os.getpid()).acount() == 1
    finally:
        await engine.release()


def test_the_public_names_are_those_that_are_promised():
    assert gateway.__all__ == sorted(gateway.__all__)
    assert all(getattr(gateway, name).__doc__ for name in gateway.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        gateway.nonsense  # noqa: B018


def test_each_asynchronous_form_has_the_parameters_of_its_twin():
    import inspect

    for name in ("complete", "stream", "embed"):
        twins = (getattr(gateway, name), getattr(gateway, f"a{name}"))
        assert len({str(list(inspect.signature(twin).parameters.values())) for twin in twins}) == 1


async def test_calls_without_redaction_wait_for_nobody_s_analysis(world):
    """What is kept of them is put together, and tokens of broken replies are counted, while a text is analysed."""

    def configured() -> None:
        kept = world.policy("kept", outbound="off", stored="full", entities=[])
        world.feature("kept", policy=kept)

    await sync_to_async(configured)()
    await engine.adopt()
    analysed = threading.Event()
    analysing = [engine.current().executor.submit(analysed.wait) for _ in range(4)]
    try:
        async with asyncio.timeout(20):
            assert (await gateway.acomplete("kept", messages=MESSAGES)).text == "hello"
        assert not any(analysis.done() for analysis in analysing)
    finally:
        analysed.set()
        await engine.release()
