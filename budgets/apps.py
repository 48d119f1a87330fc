import django_stubs_ext
from django.apps import AppConfig

# Lets Django's classes be written with their type arguments, e.g. ModelAdmin[Call].
django_stubs_ext.monkeypatch()


class BudgetsConfig(AppConfig):
    name = "budgets"
    label = "tollhouse_budgets"
    verbose_name = "Budgets and switches"
    default_auto_field = "django.db.models.BigAutoField"
