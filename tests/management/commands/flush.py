"""Django's `flush`, for some thousand tests and a database that a running server reads meanwhile."""

from typing import Any

from django.core.management.commands import flush
from django.db import connection, transaction

from gateway.retention.remove import sync

#: What `migrate` writes and no test changes but for what is put right below.
KEPT = {"django_content_type", "auth_permission", "tollhouse_retention_kind"}
#: What triggers keep, which rest here, and no model names.
KEPT_BY_TRIGGERS = {"tollhouse_score_sum"}


class Command(flush.Command):
    """Empties the tables that have rows, which are few; to truncate them all takes longer than most tests, and locks out
    whoever reads. The triggers that keep rows rest meanwhile, as do foreign keys, which takes a right that only a superuser
    has or grants (`tests/conftest.py`).
    """

    def handle(self, **options: Any) -> None:
        tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False))
        tables = tables - KEPT | KEPT_BY_TRIGGERS
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica; SET LOCAL tollhouse.sees_expired = 'on'")
            cursor.execute(" UNION ALL ".join(f"SELECT '{t}' WHERE EXISTS (SELECT FROM {t})" for t in sorted(tables)))
            for (table,) in cursor.fetchall():
                cursor.execute(f"DELETE FROM {table}")
            cursor.execute(
                "UPDATE tollhouse_retention_kind SET ran_at = NULL, removed_at = NULL, removed = '{}' WHERE ran_at IS NOT NULL"
            )
        sync()
