"""The spool of a process: its file, written in a thread of its own, many records at a time."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

from gateway.ledger.spool_file import HEADER, SUFFIX, SpoolFile, SpoolFull
from gateway.ledger.spooled import Spooled, latest
from gateway.offload import in_thread

logger = logging.getLogger("tollhouse.spool")


class Spool:
    """For one event loop, but for `waiting` and `forget`, which the keeper's thread calls."""

    def __init__(self, directory: Path, owner: UUID, most_bytes: int) -> None:
        self.path = directory / f"{owner}{SUFFIX}"
        self._most_bytes = most_bytes
        self._file: SpoolFile | None = None
        self._queue: list[tuple[Spooled, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        #: What ended and could not be written; it enters the ledger from memory.
        self.unsaved: dict[UUID, Spooled] = {}
        #: Why the file takes nothing; empty when it did, last time.
        self.trouble = ""
        #: How many records it did not take since somebody asked.
        self.refused = 0
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tollhouse-spool")
        self._disk.submit(self._write, [])

    @property
    def size(self) -> int:
        """Bytes that wait for the ledger."""
        return self._file.size - len(HEADER) if self._file else 0

    async def keep(self, call: Spooled) -> None:
        """Writes a record and returns when the disk has it. Raises SpoolFull. Cancelling the wait does not stop it."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((call, written))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(), name="tollhouse-spool")
        await asyncio.shield(written)

    async def close(self) -> None:
        """Removes the file if it is empty; else leaves it to whoever replays it."""
        if self._flushing:
            await self._flushing
        await in_thread(self._disk.shutdown)
        await in_thread(self._close)

    def waiting(self) -> tuple[dict[UUID, Spooled], int]:
        """All calls that it holds, as last told of, and the size of the file that says so."""
        size = self.size
        found = latest(self._file.contents().records) if self._file and size else {}
        return {**found, **self.unsaved}, size

    def forget(self, size: int) -> bool:
        """Empties the file, unless it has grown since it was of that size. Whether it did."""
        return self._disk.submit(self._clear, size).result()

    async def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            error: BaseException | None = None
            try:
                calls = [call for call, _ in batch]
                await asyncio.get_running_loop().run_in_executor(self._disk, self._write, calls)
            except SpoolFull as full:
                error = full
                self.refused += len(batch)
            for _, written in batch:
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)
                    written.exception()  # Whoever waited may be gone.

    def _write(self, calls: list[Spooled]) -> None:
        try:
            if self._file is None:
                self._file = SpoolFile.create(self.path)
            self._file.append([call.record() for call in calls], self._most_bytes)
            self.trouble = ""
        except OSError as error:
            self._fail(SpoolFull(f"{self.path.parent} cannot be used: {error.strerror}"))
        except SpoolFull as error:
            self._fail(error)

    def _fail(self, error: SpoolFull) -> None:
        if not self.trouble:
            logger.critical("spool: %s; calls are refused until the database is back", error)
        self.trouble = str(error)
        raise error

    def _clear(self, size: int) -> bool:
        if self._file is None or self.size != size:
            return False
        self._file.clear()
        self.trouble = ""
        return True

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            if file.size <= len(HEADER):
                file.remove()
            else:
                file.close()
