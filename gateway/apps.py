import django_stubs_ext
from django.apps import AppConfig

# Lets Django's classes be written with their type arguments, e.g. ModelAdmin[Call].
django_stubs_ext.monkeypatch()


class GatewayConfig(AppConfig):
    name = "gateway"
    label = "tollhouse_gateway"
    verbose_name = "The gate"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Registers the checks; they import models, which are there only now.
        from gateway import checks  # noqa: F401
