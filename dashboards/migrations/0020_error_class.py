from django.db import migrations


class Migration(migrations.Migration):
    """Sums tell error classes apart. What is there is made anew by the worker."""

    dependencies = [
        ('tollhouse_dashboards', '0010_saved_views'),
    ]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE tollhouse_rollup_values ADD COLUMN error_class text NOT NULL DEFAULT ''",
            'ALTER TABLE tollhouse_rollup_values DROP COLUMN error_class',
        ),
        migrations.RunSQL(
            'UPDATE tollhouse_rollup_state SET built = false, built_until = NULL',
            'UPDATE tollhouse_rollup_state SET built = false, built_until = NULL',
        ),
    ]
