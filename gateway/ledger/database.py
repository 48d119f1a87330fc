"""How the ledger reaches the database: Django's default one, over connections of its own."""

from typing import Any

from django.db import connections

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
