"""A TCP proxy before the test's PostgreSQL: the database can be away for those who go through it, and for nobody else."""

import asyncio
import contextlib
import threading

from django.db import connection


class DatabaseProxy:
    """Serves from a thread of its own. `cut` ends all connections and refuses new ones; `mend` lets them through again."""

    def __init__(self) -> None:
        params = connection.get_connection_params()
        self._params = params
        self._open: set[asyncio.StreamWriter] = set()
        self._cut = False
        self.port = 0

    @property
    def parameters(self) -> dict:
        """Connection parameters for psycopg."""
        return {"host": "127.0.0.1", "port": self.port}

    @property
    def url(self) -> str:
        user, password = self._params["user"], self._params.get("password", "")
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{self._params['dbname']}"

    def __enter__(self) -> "DatabaseProxy":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *error: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        self._cut = True
        self._run(self._drop())

    def mend(self) -> None:
        self._cut = False

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        await self._drop()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=5)

    async def _drop(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        host, port = self._params["host"], self._params.get("port") or 5432
        if host.startswith("/"):
            up_reader, up_writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
        self._open |= {writer, up_writer}
        await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer))
        self._open -= {writer, up_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.transport.abort()
