"""What a process loads before it does anything: every command and every server waits for it."""

import asyncio
import subprocess
import sys

import pytest
from django.db import connection

from gateway import engine
from gateway.http.app import data_plane
from tests.server import ROOT, environment

#: Takes long to load, and few ever need it.
SELDOM = {
    "numpy", "reportlab", "PIL", "slack_sdk", "pyarrow", "apprise", "sentry_sdk", "litellm", "spacy", "opentelemetry.sdk", "import_export",
    "tablib", "openpyxl",
}  # fmt: skip
#: Prints what of that is loaded, then where Python's sockets have wanted to go; the driver of the database has its own.
CODE = f"""
import sys
asked = []
sys.addaudithook(lambda event, given: asked.append(given) if event in ("socket.getaddrinfo", "socket.connect") else None)
import deploy.asgi
print(sorted(set(sys.modules) & {SELDOM}))
from gateway import tokens
from gateway.prices.book import PriceBook
from redaction.engine import spans
from redaction.policies import DEFAULT
tokens.count("hello"), spans("Dear Anna Schmidt", DEFAULT), PriceBook.load()
print(asked)
"""


def test_what_is_seldom_needed_is_not_loaded_by_all_and_nothing_is_fetched(transactional_db):
    """Tokenizer, tagger and price book come with the packages and the database: neither start nor first call needs a network."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split("\n") == ["[]", "[]", ""], done.stderr


@pytest.fixture
def behind(transactional_db):
    """A database that has not seen the newest migration."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE id = (SELECT max(id) FROM django_migrations WHERE app = 'tollhouse_gateway') "
            "RETURNING app, name, applied"
        )
        row = cursor.fetchone()
    yield row[1]
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)", row)


def test_a_server_does_not_start_where_migrations_are_missing(behind):
    async def receive():
        return {"type": next(asked)}

    async def send(event):
        told.append(event)

    told, asked = [], iter(["lifespan.startup", "lifespan.shutdown"])
    asyncio.run(data_plane(None)({"type": "lifespan"}, receive, send))
    [answer] = told
    assert answer["type"] == "lifespan.startup.failed" and not engine.running()
    assert (
        f"lacks the migration tollhouse_gateway.{behind} of this release; run `manage.py migrate`" in answer["message"]
    )
