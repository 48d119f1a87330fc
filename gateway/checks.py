"""System checks: what is wrong with the configuration before a call finds out. docs/checks.md lists them.

Those of what the database holds run with `check --database default`, those of a deployment with `check --deploy`.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings as django_settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string

from gateway import access, secrets, tables
from gateway.conf import TollhouseSettings, settings
from gateway.configuration.faults import faults
from gateway.middleware import ContextMiddleware, function
from gateway.models import Call, Provider, TenantLimit
from gateway.retention.kinds import defaults
from gateway.worker_beat import silent_s

Check = Callable[[], Iterator[CheckMessage]]

#: PostgreSQL's oldest version with what the tables are built of, as `server_version` says it.
OLDEST_POSTGRES = 150_000


def _registered(*tags: str, deploy: bool = False) -> Callable[[Check], Check]:
    """Registers a generator of messages as a check; those of databases run when the default one is asked for."""

    def decorate(check: Check) -> Check:
        def run(
            app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
        ) -> list[CheckMessage]:
            return [] if Tags.database in tags and "default" not in (databases or ()) else list(check())

        register(run, *tags, deploy=deploy)
        return check

    return decorate


@_registered()
def settings_are_valid() -> Iterator[CheckMessage]:
    """An error when `settings.TOLLHOUSE` has an unknown name or a value of the wrong type."""
    try:
        TollhouseSettings()
    except ImproperlyConfigured as error:
        yield Error(str(error), hint="docs/reference/settings.md lists the settings.", id="tollhouse.E001")


@_registered()
def django_is_set_up() -> Iterator[CheckMessage]:
    """Errors for what of Django's own settings the gate cannot do with."""
    default = django_settings.DATABASES.get("default", {})
    vendor = connections["default"].vendor
    if vendor != "postgresql":
        yield Error(
            f"Tollhouse needs PostgreSQL as the database `default`, which is {vendor}.",
            hint='Set DATABASES["default"]["ENGINE"] to django.db.backends.postgresql.',
            id="tollhouse.E002",
        )
    labels = [config.label for config in apps.get_app_configs()]
    if {"tollhouse_dashboards", "admin"} <= set(labels) and labels.index("admin") < labels.index(
        "tollhouse_dashboards"
    ):
        yield Error(
            "The dashboards come after Django's admin, whose templates they replace.",
            hint="Put dashboards before the admin in INSTALLED_APPS.",
            id="tollhouse.E005",
        )
    if not django_settings.USE_TZ:
        yield Error(
            "USE_TZ is off; budgets' windows are moments in time.", hint="Set USE_TZ = True.", id="tollhouse.E006"
        )
    try:
        django_settings.SECRET_KEY  # noqa: B018 (Django refuses to give an empty one)
    except ImproperlyConfigured:
        yield Error(
            "SECRET_KEY is empty; keys and users are hashed with it, and secrets encrypted.",
            hint="Set SECRET_KEY to a long random text that only this project has.",
            id="tollhouse.E007",
        )
    if default.get("ATOMIC_REQUESTS"):
        yield Warning(
            "With ATOMIC_REQUESTS a view that waits for a model keeps its transaction open all the while.",
            hint="Leave it off, or mark such views with transaction.non_atomic_requests.",
            id="tollhouse.W002",
        )


@_registered()
def requests_have_a_context() -> Iterator[CheckMessage]:
    """An error when REQUEST_CONTEXT is no function, warnings when the middleware that asks it is misplaced."""
    try:
        path = settings().REQUEST_CONTEXT
    except ImproperlyConfigured:
        return
    try:
        function(path)
    except ImproperlyConfigured as error:
        yield Error(str(error), hint="docs/rollout.md has an example.", id="tollhouse.E008")
    here, users = _place(ContextMiddleware), _place(AuthenticationMiddleware)
    if path and here is None:
        yield Warning(
            "REQUEST_CONTEXT is set and nothing asks it: calls are nobody's.",
            hint='Put "gateway.middleware.ContextMiddleware" behind Django\'s AuthenticationMiddleware in MIDDLEWARE.',
            id="tollhouse.W010",
        )
    if here is not None and users is not None and here < users:
        yield Warning(
            "ContextMiddleware stands before Django's AuthenticationMiddleware, so calls have no user.",
            hint="Put it behind AuthenticationMiddleware in MIDDLEWARE.",
            id="tollhouse.W011",
        )


def _place(middleware: type) -> int | None:
    """Where in MIDDLEWARE it stands, or a class of it; what cannot be imported is Django's to tell."""
    for place, path in enumerate(django_settings.MIDDLEWARE):
        try:
            found = import_string(path)
        except ImportError:
            continue
        if isinstance(found, type) and issubclass(found, middleware):
            return place
    return None


@_registered(Tags.security, deploy=True)
def secrets_and_addresses_are_for_production() -> Iterator[CheckMessage]:
    """Warnings for defaults that are made for one machine; only with `check --deploy` and DEBUG off."""
    if django_settings.DEBUG:
        return
    try:
        options = settings()
    except ImproperlyConfigured:
        return
    for name in ("PEPPER", "ENCRYPTION_KEYS"):
        if not getattr(options, name):
            yield Warning(
                f"TOLLHOUSE_{name} is unset, so SECRET_KEY stands in for it and cannot be changed without loss.",
                hint=f"Set TOLLHOUSE_{name} before keys are made.",
                id="tollhouse.W003",
            )
    if options.ALLOW_PRIVATE_UPSTREAMS:
        yield Warning(
            "Providers on loopback and private addresses are allowed.",
            hint="Set TOLLHOUSE_ALLOW_PRIVATE_UPSTREAMS=false, unless models of your own are there.",
            id="tollhouse.W004",
        )


@_registered(Tags.database)
def database_is_new_enough() -> Iterator[CheckMessage]:
    """An error for a PostgreSQL that is too old."""
    connection = connections["default"]
    if connection.vendor != "postgresql":
        return
    connection.ensure_connection()
    version: int = connection.connection.info.server_version
    if version < OLDEST_POSTGRES:
        yield Error(
            f"PostgreSQL {version // 10_000} is too old.", hint="Version 15 is the oldest.", id="tollhouse.E003"
        )


@_registered(Tags.database)
def expired_rows_are_hidden() -> Iterator[CheckMessage]:
    """A warning when the database's role is above row-level security, which hides what has expired."""
    connection = connections["default"]
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)")
        if row := cursor.fetchone():
            yield Warning(
                f"The database's role {row[0]} is a superuser or bypasses row-level security: it sees expired rows until "
                "they are removed.",
                hint="Connect as a role that is neither (ALTER ROLE … NOSUPERUSER NOBYPASSRLS); docs/retention.md says more.",
                id="tollhouse.W040",
            )


@_registered()
def retention_is_valid() -> Iterator[CheckMessage]:
    """An error when the settings of retention have a wrong value; what they have of a wrong type is E001's."""
    try:
        settings()
    except ImproperlyConfigured:
        return
    try:
        defaults()
    except ImproperlyConfigured as error:
        yield Error(str(error), hint="docs/retention.md says how they are written.", id="tollhouse.E040")


@_registered()
def changes_of_people_are_audited() -> Iterator[CheckMessage]:
    """A warning when the admin of users or groups was registered where the gate's pages could not put the audit log over it."""
    if not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib import admin

    from gateway.admin.people import PEOPLE, AuditedPeople

    for model in PEOPLE:
        own = admin.site._registry.get(model)
        if own is not None and not isinstance(own, AuditedPeople):
            yield Warning(
                f"Changes of {model._meta.verbose_name_plural} in the admin are not in the audit log.",
                hint=f"Put the app that registers {type(own).__name__} before the gateway in INSTALLED_APPS.",
                id="tollhouse.W050",
            )


@_registered(Tags.database)
def limits_take_permissions_away() -> Iterator[CheckMessage]:
    """An error when users are limited to tenants and nothing takes permissions away from them."""
    if _migrated() and not access.is_installed() and TenantLimit.objects.exists():
        yield Error(
            "Users are limited to tenants, and keep permissions for what concerns all tenants.",
            hint='Put "gateway.access.TenantLimits" first in AUTHENTICATION_BACKENDS; docs/roles.md says why.',
            id="tollhouse.E050",
        )


@_registered(Tags.database)
def provider_keys_are_set() -> Iterator[CheckMessage]:
    """A warning for each provider whose key variable is unset here, or not allowed."""
    if _migrated():
        for name, variable in Provider.objects.exclude(api_key_env="").values_list("name", "api_key_env"):
            if hint := _why_no_key(variable):
                yield Warning(f"The provider {name} has no key in this environment.", hint=hint, id="tollhouse.W001")


@_registered(Tags.database)
def catalog_is_sound() -> Iterator[CheckMessage]:
    """An error or warning for each fault of what is configured."""
    if _migrated():
        for fault in faults():
            kind = Error if fault.id.startswith("E") else Warning
            yield kind(fault.what, hint=fault.hint, id=f"tollhouse.{fault.id}")


@_registered(Tags.database)
def worker_runs() -> Iterator[CheckMessage]:
    """A warning when calls are made and no worker has been seen for a while."""
    if not _migrated():
        return
    silent, may_be = silent_s(), settings().WORKER_SILENT_AFTER_S
    if silent is None and not Call.objects.exists():
        return
    if silent is None or silent > may_be:
        since = "yet" if silent is None else f"for {silent / 60:.0f} minutes"
        yield Warning(
            f"No worker has run {since}: alerts wait, partitions run short, what is past its time stays.",
            hint="Keep `manage.py worker` running; docs/degradation.md says what waits for it.",
            id="tollhouse.W009",
        )


def _why_no_key(variable: str) -> str:
    try:
        secrets.check_variable(variable)
    except ValueError as error:
        return f"Its calls fail: {error}."
    return "" if os.environ.get(variable) else f"Set {variable} for the server, or its calls fail."


def _migrated() -> bool:
    """Whether the tables are what the code expects: `migrate` runs these checks before it makes them so."""
    return connections["default"].vendor == "postgresql" and not tables.unapplied()
