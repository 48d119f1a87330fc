from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"
    label = "tollhouse_gateway"
    verbose_name = "Tollhouse: gateway"
    default_auto_field = "django.db.models.BigAutoField"
