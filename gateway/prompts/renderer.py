"""Renders prompts for a gate, so that a slow template keeps nobody waiting but its own feature's callers."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from gateway.prompts.template import Rendered, Template
from gateway.types import Json

#: How many features may render large prompts at the same time.
THREADS = 8


class Renderer:
    """Small renderings run at once; others in threads, one at a time for each feature."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="tollhouse-render")
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def render(self, feature: str, template: Template, variables: Mapping[str, Json]) -> Rendered:
        """The messages of the feature's template. Raises PromptError as `Template.fill` does."""
        if template.is_small(variables):
            return template.fill(variables)
        turn, loop = self._turns[feature], asyncio.get_running_loop()
        await turn.acquire()
        rendering = self._threads.submit(template.fill, variables, yielding=True)
        # The turn ends with the thread's work and not with the caller, who may go away meanwhile and come again.
        rendering.add_done_callback(lambda _: loop.call_soon_threadsafe(turn.release))
        return await asyncio.wrap_future(rendering)

    def close(self) -> None:
        """Waits for renderings under way."""
        self._threads.shutdown(cancel_futures=True)
