from django.db import migrations

from gateway.sql import script


class Migration(migrations.Migration):

    dependencies = [
        ('tollhouse_gateway', '0101_reply_timeout'),
    ]

    operations = [
        migrations.RunSQL(script("retention_writers.sql"), script("retention_writers_reverse.sql")),
    ]
