from django.db import migrations

from gateway.sql import script


class Migration(migrations.Migration):

    dependencies = [
        ('tollhouse_gateway', '0082_meters'),
    ]

    operations = [
        migrations.RunSQL(script('written.sql'), script('written_reverse.sql')),
    ]
