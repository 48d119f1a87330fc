"""Whether the database has the tables that this release works with."""

from django.db import connections
from django.db.migrations.executor import MigrationExecutor


class TablesMissing(RuntimeError):
    """The database lacks migrations of this release, so that calls would fail here and there. Run `manage.py migrate`."""


def unapplied() -> list[str]:
    """Our migrations that the database has not seen, in their order. Those that it has besides are a later release's."""
    executor = MigrationExecutor(connections["default"])
    ours = [node for node in executor.loader.graph.leaf_nodes() if node[0].startswith("tollhouse_")]
    return [f"{migration.app_label}.{migration.name}" for migration, _ in executor.migration_plan(ours)]


def require() -> None:
    """Raises TablesMissing. For a thread of its own: closes the thread's connection."""
    try:
        missing = unapplied()
    finally:
        connections["default"].close()
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise TablesMissing(
            f"The database lacks the migration {missing[0]}{more} of this release; run `manage.py migrate`, then start again."
        )
