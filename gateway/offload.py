"""Work for the CPU, off the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor


async def offload[**P, R](executor: Executor, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What the function returns, run in the executor, so that other calls go on meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(executor, lambda: function(*args, **kwargs))
