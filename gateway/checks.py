"""System checks: what is wrong with the configuration before a call finds out."""

import os
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections

from gateway import secrets
from gateway.conf import TollhouseSettings
from gateway.models import Provider


@register()
def settings_are_valid(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """An error when `settings.TOLLHOUSE` has an unknown name or a value of the wrong type."""
    try:
        TollhouseSettings()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint="docs/reference/settings.md lists the settings.", id="tollhouse.E001")]
    return []


@register()
def project_fits(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Errors for what a project needs that Tollhouse is added to, and a warning where its pages would have no style."""
    found: list[CheckMessage] = []
    vendor = connections["default"].vendor
    if vendor != "postgresql":
        told = f"Tollhouse needs PostgreSQL as the database `default`, which is {vendor}."
        found.append(
            Error(
                told, hint='Set DATABASES["default"]["ENGINE"] to django.db.backends.postgresql.', id="tollhouse.E002"
            )
        )
    if not django_settings.USE_TZ:
        found.append(Error("Tollhouse needs time zones.", hint="Set USE_TZ = True.", id="tollhouse.E003"))
    names = [config.name for config in apps.get_app_configs()]
    if "dashboards" in names and "django.contrib.admin" in names[: names.index("dashboards")]:
        told = "The app dashboards stands behind the admin, so that Tollhouse's pages there have no style sheet."
        found.append(Warning(told, hint="Put it before django.contrib.admin in INSTALLED_APPS.", id="tollhouse.W002"))
    return found


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
