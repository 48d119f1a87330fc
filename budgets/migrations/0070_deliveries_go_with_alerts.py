from pathlib import Path

from django.db import migrations

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("tollhouse_budgets", "0050_forecasts"),
    ]

    operations = [
        migrations.RunSQL(
            (SQL / "deliveries.sql").read_text(encoding="utf-8"),
            (SQL / "deliveries_reverse.sql").read_text(encoding="utf-8"),
        )
    ]
