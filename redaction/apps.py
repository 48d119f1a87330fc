import django_stubs_ext
from django.apps import AppConfig

# Lets Django's classes be written with their type arguments, e.g. ModelAdmin[Call].
django_stubs_ext.monkeypatch()


class RedactionConfig(AppConfig):
    name = "redaction"
    label = "tollhouse_redaction"
    verbose_name = "Privacy"
    default_auto_field = "django.db.models.BigAutoField"
