from django.apps import AppConfig


class DashboardsConfig(AppConfig):
    name = "dashboards"
    label = "tollhouse_dashboards"
    verbose_name = "Tollhouse: dashboards"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Models are there only now.
        from dashboards.rollups.erase import erasing
        from dashboards.rollups.job import PERIOD_S, count, counted
        from gateway.jobs.registry import Job, register
        from gateway.retention.derived import Derived, derive

        register(Job("rollups", PERIOD_S, count))
        derive(Derived(name="rollups", erasing=erasing, counted=counted))
