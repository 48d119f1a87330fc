from django.apps import AppConfig


class DashboardsConfig(AppConfig):
    name = "dashboards"
    label = "tollhouse_dashboards"
    verbose_name = "Tollhouse: dashboards"
    default_auto_field = "django.db.models.BigAutoField"
