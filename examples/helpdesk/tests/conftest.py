"""The seeded helpdesk. Priya serves Brightwater and Fenwick, Tomas Oakhurst."""

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from tickets.models import Ticket

pytest_plugins = ["gateway.testing.plugin"]


@pytest.fixture
def llm_catalog():
    return "catalog.toml"


@pytest.fixture(autouse=True)
def _no_model(llm):
    """Pages ask which features are on; in no test does anything leave for a provider."""


@pytest.fixture
def helpdesk(db, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    call_command("seed", password="correct horse", verbosity=0)


@pytest.fixture
def ticket(helpdesk):
    """A ticket of Brightwater, with a conversation of three messages."""
    return Ticket.objects.get(subject="The front wheel is missing")


@pytest.fixture
def priya(client, ticket):
    """A browser in which Priya is logged in."""
    client.force_login(User.objects.get(username="priya"))
    return client


@pytest.fixture
def tomas(client, ticket):
    """A browser in which Tomas is logged in, who does not serve Brightwater."""
    client.force_login(User.objects.get(username="tomas"))
    return client
