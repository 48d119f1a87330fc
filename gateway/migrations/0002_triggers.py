from django.db import migrations

from gateway.sql import script


class Migration(migrations.Migration):
    dependencies = [("tollhouse_gateway", "0001_initial")]

    operations = [
        migrations.RunSQL(script("revision.sql"), script("revision_reverse.sql")),
        migrations.RunSQL(script("immutable.sql"), script("immutable_reverse.sql")),
    ]
