"""One gate per process: in the server's event loop where there is one, else in a thread of its own."""

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
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
    _engine = Engine(asyncio.get_running_loop(), await Gate.open(), None)


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
            _engine = _start_thread()
        return _engine


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


def _start_thread() -> Engine:
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="tollhouse", daemon=True)
    thread.start()
    try:
        gate = asyncio.run_coroutine_threadsafe(Gate.open(), loop).result()
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
