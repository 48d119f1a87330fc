"""One gate per process: in the server's event loop where there is one, else in a thread of its own."""

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import uvloop

from gateway.errors import LedgerUnavailable
from gateway.gate import Gate


class Engine:
    """A gate and the event loop that it lives in."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gate: Gate, thread: threading.Thread | None) -> None:
        self.loop = loop
        self.gate = gate
        self.thread = thread

    def submit[T](self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Runs the coroutine in the engine's loop, from any other thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)


_engine: Engine | None = None
_lock = threading.Lock()
_inherited: list[Engine | None] = []


async def adopt() -> None:
    """Opens the process's gate in the running loop; the HTTP data plane does so when its server starts."""
    global _engine
    _engine = Engine(asyncio.get_running_loop(), await _opened(Gate.open), None)


async def release() -> None:
    """Closes the gate that `adopt` opened."""
    global _engine
    if _engine is not None:
        engine, _engine = _engine, None
        await engine.gate.close()


def current() -> Gate:
    """The gate of the running loop. Raises LedgerUnavailable when none is open."""
    if _engine is None:
        raise LedgerUnavailable("The gate is not open: the server is starting or stopping.")
    return _engine.gate


def running() -> bool:
    """Whether the process has a gate open."""
    return _engine is not None


def start() -> Engine:
    """The process's engine; made with a thread of its own at first use. Raises LedgerUnavailable without a database."""
    global _engine
    with _lock:
        if _engine is None:
            _engine = _start_thread(Gate.open)
        return _engine


def refuse_own_loop() -> None:
    """Raises RuntimeError in the engine's own event loop, where waiting for it would last for ever."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    if _engine is not None and _engine.loop is loop:
        raise RuntimeError(
            "This would block the gate's own event loop; await acomplete, astream or aembed instead, or an asynchronous client."
        )


def stop() -> None:
    """Closes an engine that has a thread of its own, with its last rows written; the next call starts another."""
    global _engine
    with _lock:
        if _engine is None or _engine.thread is None:
            return
        engine, _engine = _engine, None
        engine.submit(engine.gate.close()).result()
        engine.loop.call_soon_threadsafe(engine.loop.stop)
        assert engine.thread is not None
        engine.thread.join()
        engine.loop.close()


@contextmanager
def standing_in(make: Callable[[], Coroutine[Any, Any, Gate]]) -> Iterator[None]:
    """While inside, another gate, made in a loop of its own, is the process's. For tests."""
    global _engine
    with _lock:
        before, _engine = _engine, _start_thread(make)
    try:
        yield
    finally:
        stop()
        with _lock:
            _engine = before


async def _opened(make: Callable[[], Coroutine[Any, Any, Gate]]) -> Gate:
    """The gate, in a loop that keeps no list of asynchronous generators under way: it would be closed by that list when the
    loop ends, but each of ours is closed by whoever opened it, and a call passes through five.
    """
    sys.set_asyncgen_hooks(firstiter=None)
    return await make()


def _start_thread(make: Callable[[], Coroutine[Any, Any, Gate]]) -> Engine:
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="tollhouse", daemon=True)
    thread.start()
    try:
        gate = asyncio.run_coroutine_threadsafe(_opened(make), loop).result()
    except Exception as error:
        loop.call_soon_threadsafe(loop.stop)
        raise LedgerUnavailable(f"The gate cannot open: {str(error).strip().splitlines()[0]}") from error
    return Engine(loop, gate, thread)


def _forget() -> None:
    """A forked child shares neither threads nor connections with its parent: it starts an engine of its own.

    The parent's is kept, as collecting it here would close what the parent still uses.
    """
    global _engine, _lock
    _inherited.append(_engine)
    _engine, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)
atexit.register(stop)
