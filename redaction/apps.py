from django.apps import AppConfig


class RedactionConfig(AppConfig):
    name = "redaction"
    label = "tollhouse_redaction"
    verbose_name = "Tollhouse: redaction"
    default_auto_field = "django.db.models.BigAutoField"
