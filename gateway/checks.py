"""System checks: what is wrong with the configuration before a call finds out."""

import os
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from gateway import secrets
from gateway.conf import TollhouseSettings
from gateway.models import Provider


@register()
def settings_are_valid(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """An error when `settings.TOLLHOUSE` has an unknown name or a value of the wrong type."""
    try:
        TollhouseSettings()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="docs/settings.md lists the settings.", id="tollhouse.E001")]
    return []


@register(Tags.database)
def provider_keys_are_set(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """A warning for each provider whose key variable is unset here or not allowed; only with `check --database default`."""
    if "default" not in (databases or ()) or not _migrated():
        return []
    variables = Provider.objects.exclude(api_key_env="").values_list("name", "api_key_env")
    return [
        Warning(f"The provider {name} has no key in this environment.", hint=hint, id="tollhouse.W001")
        for name, variable in variables
        if (hint := _why_no_key(variable))
    ]


def _why_no_key(variable: str) -> str:
    try:
        secrets.check_variable(variable)
    except ValueError as error:
        return f"Its calls fail: {error}."
    return "" if os.environ.get(variable) else f"Set {variable} for the server, or its calls fail."


def _migrated() -> bool:
    return Provider._meta.db_table in connection.introspection.table_names()
