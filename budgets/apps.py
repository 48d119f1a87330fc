from django.apps import AppConfig


class BudgetsConfig(AppConfig):
    name = "budgets"
    label = "tollhouse_budgets"
    verbose_name = "Tollhouse: budgets"
    default_auto_field = "django.db.models.BigAutoField"
