"""Work for the CPU, off the event loop."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import cast

#: How long a thread that computes may keep the interpreter from one that waits for it, in seconds; Python's own is ten
#: times that, which a call would wait at every step of its way.
TURN_S = 0.0005

_lock = threading.Lock()
_computing = 0
_usual_s = 0.0


async def offload[**P, R](executor: Executor, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What the function returns, run in the executor, so that other calls go on meanwhile."""

    def run() -> R:
        with short_turns():
            return function(*args, **kwargs)

    return await asyncio.get_running_loop().run_in_executor(executor, run)


async def in_thread[R](function: Callable[[], R]) -> R:
    """What the function returns, run in a thread of its own. Executors start none while the interpreter shuts down, and a gate
    in a process without a server closes then.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[R] = loop.create_future()

    def answer(error: BaseException | None, value: R | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(cast(R, value))
        else:
            done.set_exception(error)

    def run() -> None:
        try:
            value, error = function(), None
        except Exception as raised:  # noqa: BLE001 (whoever waits gets it)
            value, error = None, raised
        loop.call_soon_threadsafe(answer, error, value)

    threading.Thread(target=run, name="tollhouse-closing", daemon=True).start()
    return await done


@contextmanager
def short_turns() -> Iterator[None]:
    """While any thread is inside, threads of this process take turns more often; outside, as often as they did before."""
    global _computing, _usual_s
    with _lock:
        if not _computing:
            _usual_s = sys.getswitchinterval()
            sys.setswitchinterval(min(_usual_s, TURN_S))
        _computing += 1
    try:
        yield
    finally:
        with _lock:
            _computing -= 1
            if not _computing:
                sys.setswitchinterval(_usual_s)
