import django_stubs_ext
from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate

# Lets Django's classes be written with their type arguments, e.g. ModelAdmin[Call].
django_stubs_ext.monkeypatch()


#: Apps without which the gate's models cannot be imported, by label.
NEEDED = {
    "contenttypes": "django.contrib.contenttypes",
    "auth": "django.contrib.auth",
    "tollhouse_budgets": "budgets",
    "tollhouse_redaction": "redaction",
}


class GatewayConfig(AppConfig):
    name = "gateway"
    label = "tollhouse_gateway"
    verbose_name = "The gate"
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        for label, name in NEEDED.items():
            if label not in apps.app_configs:
                raise ImproperlyConfigured(f'Add "{name}" to INSTALLED_APPS; the gate needs it.')
        super().import_models()

    def ready(self) -> None:
        # Registers the checks; they import models, which are there only now.
        from budgets.addresses import is_public
        from gateway import checks, roles  # noqa: F401
        from gateway.explorer import background
        from gateway.retention.derived import Derived, derive
        from gateway.retention.remove import sync_after_migrate
        from redaction import engine

        engine.is_public = is_public
        # Files of exports are copies of calls, though nothing of them is ever counted.
        derive(Derived(name="exports", erasing=background.erasing, counted=lambda: None))
        post_migrate.connect(roles.keep, dispatch_uid="tollhouse.roles")
        post_migrate.connect(sync_after_migrate, sender=self)
