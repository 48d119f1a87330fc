"""The ledger's connection: prepared statements, any number of them in one round trip."""

import asyncio
import contextlib
import re
from collections.abc import Iterable
from typing import Any, Self

import orjson
import psycopg
from psycopg import AsyncConnection, OperationalError
from psycopg.adapt import Transformer
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

from gateway.ledger.database import connect

Rows = list[tuple[Any, ...]]
#: An escaped NUL, behind any number of escaped backslashes.
NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class Link:
    """A connection in autocommit mode. `connection` serves single statements; `burst` many in one round trip.

    psycopg's own pipeline writes to the socket and looks for answers at every statement, which took most of a
    transaction's time; a burst is one write. `statements` are SQL by name, with `%s` for parameters.
    """

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self.connection = connection
        # One for all results, as it remembers how each type is read; made anew for each, it took more than the reading.
        self._transformer = Transformer(connection)
        self._sent = False

    @classmethod
    async def open(cls, parameters: dict[str, Any], statements: dict[str, str]) -> Self:
        """A new connection on which the statements are prepared. Raises psycopg.Error."""
        # Statements that psycopg prepared by itself it would drop at some time, and ours with them (`DEALLOCATE ALL`).
        link = cls(await connect(parameters, prepare_threshold=None))
        pgconn = link.connection.pgconn
        try:
            pgconn.enter_pipeline_mode()
            for name, text in statements.items():
                pgconn.send_prepare(name.encode(), _numbered(text).encode())
            await link._answers()
        except BaseException:
            await link.connection.close()
            raise
        return link

    async def burst(self, *statements: tuple[str, *tuple[str, ...]]) -> list[Rows]:
        """Runs statements, each a name and its parameters as PostgreSQL writes them, and returns the rows of each.

        Raises the first error, after which none of the others was run. A burst that was broken off (cancelled, or by a
        lost connection) leaves the connection of no use.
        """
        self.send(*statements)
        return (await self._answers())[-len(statements) :]

    def send(self, *statements: tuple[str, *tuple[str, ...]]) -> None:
        """Hands statements to the server, which begins with them while we go on. Whether they went well is known with the
        next burst, which is due in any case, as one of a transaction's is; or else `rollback`.
        """
        pgconn = self.connection.pgconn
        pgconn.enter_pipeline_mode()
        for name, *parameters in statements:
            pgconn.send_query_prepared(name.encode(), [parameter.encode() for parameter in parameters])
        pgconn.flush()
        self._sent = True

    async def rollback(self) -> None:
        """Undoes the transaction, whatever was sent of it. Raises psycopg.Error."""
        if self._sent:
            with contextlib.suppress(psycopg.Error):
                await self._answers()
        await self.connection.execute("ROLLBACK")

    async def _answers(self) -> list[Rows]:
        pgconn = self.connection.pgconn
        pgconn.pipeline_sync()
        while pgconn.flush():
            await self._ready(writing=True)
            pgconn.consume_input()
        results: list[PGresult] = []
        while True:
            while pgconn.is_busy():
                await self._ready()
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                # Between two statements; but a connection that is lost answers None for ever.
                if pgconn.status == ConnStatus.BAD:
                    raise OperationalError("the connection is lost")
            elif result.status == ExecStatus.PIPELINE_SYNC:
                break
            else:
                results.append(result)
        pgconn.exit_pipeline_mode()
        self._sent = False
        return [self._rows(result) for result in results]

    async def _ready(self, *, writing: bool = False) -> None:
        """Waits until the socket can be read, or written to as well."""
        loop, socket = asyncio.get_running_loop(), self.connection.pgconn.socket
        ready = loop.create_future()
        loop.add_reader(socket, _tell, ready)
        if writing:
            loop.add_writer(socket, _tell, ready)
        try:
            await ready
        finally:
            loop.remove_reader(socket)
            if writing:
                loop.remove_writer(socket)

    def _rows(self, result: PGresult) -> Rows:
        if result.status == ExecStatus.COMMAND_OK:
            return []
        if result.status != ExecStatus.TUPLES_OK:
            raise error_from_result(result, self.connection.info.encoding)
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)


def _tell(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def is_stale(error: Exception) -> bool:
    """Whether the error says that the prepared statements are gone, or made for tables that have changed: time to reconnect."""
    return isinstance(error, InvalidSqlStatementName) or (
        isinstance(error, FeatureNotSupported) and "cached plan" in str(error)
    )


def array(values: Iterable[object]) -> str:
    """Numbers, ids or moments as a PostgreSQL array; texts would need quotes."""
    return "{" + ",".join(map(str, values)) + "}"


def json_rows(rows: list[dict[str, Any]] | dict[str, Any]) -> str:
    """Rows, or one, as JSON for PostgreSQL, which reads a decimal from a string exactly.

    It has no NUL in any text, so that one is written as U+FFFD.
    """
    written = orjson.dumps(rows, default=str)
    if b"\\u0000" in written:
        written = NUL.sub(rb"\1\\ufffd", written)
    return written.decode()


def _numbered(text: str) -> str:
    """The statement with `$1`, `$2`, … as the protocol has parameters."""
    first, *parts = text.split("%s")
    return first + "".join(f"${number}{part}" for number, part in enumerate(parts, 1))
