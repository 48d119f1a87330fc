from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured


class DashboardsConfig(AppConfig):
    name = "dashboards"
    label = "tollhouse_dashboards"
    verbose_name = "Tollhouse: dashboards"
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        for label, name in (("admin", "django.contrib.admin"), ("tollhouse_gateway", "gateway")):
            if label not in apps.app_configs:
                raise ImproperlyConfigured(f'Add "{name}" to INSTALLED_APPS; the dashboards need it.')
        super().import_models()

    def ready(self) -> None:
        # Models are there only now.
        from dashboards import score_sums
        from dashboards.digests import send
        from dashboards.digests.models import Digest
        from dashboards.models import SavedView
        from dashboards.rollups.erase import erasing
        from dashboards.rollups.job import PERIOD_S, count, counted
        from gateway.access import OWNED
        from gateway.jobs.registry import Job, register
        from gateway.retention.derived import Derived, derive

        register(Job("rollups", PERIOD_S, count))
        register(Job("digests", send.PERIOD_S, send.work))
        register(Job("score_sums", score_sums.PERIOD_S, score_sums.put_together))
        OWNED.update({Digest: "owner", SavedView: "owner"})
        derive(Derived(name="rollups", erasing=erasing, counted=counted))
