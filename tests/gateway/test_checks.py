"""Checks tell what is wrong before a call finds out."""

import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from gateway.models import Provider
from tests.server import ROOT


def test_a_wrong_setting_is_an_error(settings):
    settings.TOLLHOUSE = {"ALOW_PRIVATE": True}
    with pytest.raises(SystemCheckError, match=r"E001.*'ALOW_PRIVATE'.* is not a setting"):
        call_command("check")


@pytest.mark.django_db
def test_a_provider_without_its_key_is_a_warning_where_the_database_is_checked():
    Provider.objects.create(name="p", kind="openai", base_url="https://x.example.com/v1", api_key_env="NO_SUCH_API_KEY")
    for options, told in (({"databases": ["default"]}, True), ({}, False)):
        errors = StringIO()
        call_command("check", stdout=StringIO(), stderr=errors, **options)
        assert ("tollhouse.W001" in errors.getvalue() and "Set NO_SUCH_API_KEY" in errors.getvalue()) == told


@pytest.mark.django_db
def test_a_provider_whose_variable_is_not_allowed_is_a_warning():
    Provider.objects.create(name="p", kind="openai", base_url="https://x.example.com/v1", api_key_env="PATH")
    errors = StringIO()
    call_command("check", stdout=StringIO(), stderr=errors, databases=["default"])
    assert "the variable PATH may not hold a provider's key" in errors.getvalue()


def test_a_project_without_time_zones_is_an_error(settings):
    settings.USE_TZ = False
    with pytest.raises(SystemCheckError, match=r"(?s)E003.*Set USE_TZ = True"):
        call_command("check")


PROJECT = """
import sys, django
from django.conf import settings
settings.configure(
    SECRET_KEY="x", USE_TZ=True, DATABASES={"default": {"ENGINE": "django.db.backends." + sys.argv[1], "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.postgres", *sys.argv[2].split()],
)
django.setup()
from django.core.management import call_command
call_command("check")
"""


def checked(engine: str, *apps: str) -> str:
    """What a project with this database and these apps beside Django's own is told by its checks."""
    command = [sys.executable, "-c", PROJECT, engine, " ".join(apps)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return found.stdout + found.stderr


def test_a_project_on_another_database_is_told_that_it_needs_postgresql():
    told = checked("sqlite3", "gateway", "budgets", "redaction")
    assert "tollhouse.E002" in told and "needs PostgreSQL as the database `default`, which is sqlite" in told


def test_a_project_without_an_app_that_the_gate_needs_is_told_which():
    assert 'Add "budgets" to INSTALLED_APPS; the gate needs it.' in checked("postgresql", "gateway", "redaction")


def test_pages_that_would_have_no_style_are_told():
    apps = ["django.contrib.admin", "django.contrib.messages", "gateway", "budgets", "redaction", "dashboards"]
    assert "tollhouse.W002" in checked("postgresql", *apps)
    assert "tollhouse.W002" not in checked("postgresql", "dashboards", *apps[:-1])
