"""Checks tell what is wrong before a call finds out."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from gateway.models import Provider


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
