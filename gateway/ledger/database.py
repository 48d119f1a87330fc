"""How the gate reaches the database: Django's default one, over connections of its own."""

import asyncio
import traceback
from collections.abc import Mapping
from typing import Any

from django.db import connections
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

#: Django's own additions to psycopg's parameters.
NOT_PSYCOPG = frozenset({"cursor_factory", "context", "prepare_threshold", "server_side_binding"})


def connection_parameters() -> dict[str, Any]:
    """Parameters for psycopg's `connect`, impatient enough for a gate: a dead server is noticed within seconds."""
    given = connections["default"].get_connection_params()
    return {
        **{name: value for name, value in given.items() if name not in NOT_PSYCOPG},
        "connect_timeout": 3,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": "tollhouse",
    }


async def connect(parameters: Mapping[str, Any], **options: Any) -> AsyncConnection[TupleRow]:
    """A new connection in autocommit mode, with `options` as psycopg's `connect` has them. Raises psycopg.Error.

    A session that is under way when its opener is cancelled ends with that. psycopg leaves it to whoever forgets the traceback,
    in whose frames it stands, and a task that was cancelled may be known for long.
    """
    try:
        return await AsyncConnection.connect(**parameters, **options, autocommit=True)
    except asyncio.CancelledError as error:
        traceback.clear_frames(error.__traceback__)
        raise
