"""A receiver, a mail server, and the session that channels get."""

import aiohttp
import pytest

from gateway.providers.connect import connector
from tests.budgets.channels.receiver import MailServer, Receiver


@pytest.fixture
async def receiver():
    async with Receiver() as found:
        yield found


@pytest.fixture
async def mail_server():
    async with MailServer() as found:
        yield found


@pytest.fixture
async def http():
    """A session that may connect to this machine, where the receivers are."""
    async with aiohttp.ClientSession(connector=connector(allow_private=True)) as session:
        yield session


@pytest.fixture
async def guarded():
    """A session as it is in production: to the public internet only."""
    async with aiohttp.ClientSession(connector=connector(allow_private=False)) as session:
        yield session
