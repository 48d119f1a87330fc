from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("tollhouse_budgets", "0010_budget_scopes"),
        # The functions that its triggers call.
        ("tollhouse_gateway", "0002_triggers"),
    ]

    operations = [
        migrations.RunSQL(
            (SQL / "rules.sql").read_text(encoding="utf-8"), (SQL / "rules_reverse.sql").read_text(encoding="utf-8")
        )
    ]
