"""Fixtures for every test."""

import pytest
from asgiref.sync import sync_to_async
from django.db import connections


@pytest.fixture(autouse=True)
async def closed_connections():
    """Closes the connection of the thread in which asynchronous tests use the ORM, so that the database can be dropped."""
    yield
    await sync_to_async(connections.close_all)()
