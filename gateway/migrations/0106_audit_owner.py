from django.db import migrations

from gateway.sql import script


class Migration(migrations.Migration):

    dependencies = [
        ('tollhouse_gateway', '0105_retention_writers'),
    ]

    operations = [
        migrations.RunSQL(script("audit_owner.sql"), script("audit_owner_reverse.sql")),
    ]
