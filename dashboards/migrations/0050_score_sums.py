from django.db import migrations

from gateway.retention.kinds import KeptTable, hide_expired
from gateway.sql import script


class Migration(migrations.Migration):

    dependencies = [
        ('tollhouse_dashboards', '0045_labels'),
        ('tollhouse_gateway', '0095_scores_and_steps'),
    ]

    operations = [
        migrations.RunSQL(script('score_tables.sql'), script('score_tables_reverse.sql')),
        hide_expired(KeptTable(kind='score', table='tollhouse_score_sum', keep_days=400, at='at', feature='feature')),
    ]
