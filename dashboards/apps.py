from django.apps import AppConfig


class DashboardsConfig(AppConfig):
    name = "dashboards"
    label = "tollhouse_dashboards"
    verbose_name = "Tollhouse: dashboards"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Models are there only now.
        from dashboards.rollups.job import PERIOD_S, count
        from gateway.jobs.registry import Job, register

        register(Job("rollups", PERIOD_S, count))
