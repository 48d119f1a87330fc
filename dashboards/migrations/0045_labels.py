from django.db import migrations

from gateway.sql import script


class Migration(migrations.Migration):

    dependencies = [
        ('tollhouse_dashboards', '0040_digests'),
    ]

    operations = [
        migrations.RunSQL(script('rollup_labels.sql'), script('rollup_labels_reverse.sql')),
    ]
