"""A person's erasure from the rollups: the money stays, as nobody's."""

from django.db import connection

from dashboards.rollups.changes import SQL


def forget(user_ref: str) -> int:
    """Makes what the user's calls came to that of nobody; returns how many combinations of values named the user.

    To be called in the transaction that erases the calls' references, before it does so. Labels stay, as they are not a person's.
    """
    if not user_ref:
        return 0
    with connection.cursor() as cursor:
        # Counting waits, so that a call of the user's is not counted under the reference after this.
        cursor.execute("SELECT FROM tollhouse_rollup_state FOR UPDATE")
        cursor.execute(SQL["forget"], [user_ref])
        count: int = cursor.rowcount
    return count
