import django.contrib.postgres.fields
from django.db import migrations, models

from gateway.sql import script


class Migration(migrations.Migration):
    dependencies = [("tollhouse_gateway", "0006_cached_reply"), ("tollhouse_budgets", "0040_rate_limits")]

    operations = [
        migrations.AddField(
            model_name="hold",
            name="buckets",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(),
                blank=True,
                help_text="Ids of the rate limits' buckets that it took from.",
                null=True,
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="hold",
            name="bucket_tokens",
            field=models.BigIntegerField(
                blank=True, help_text="Tokens that it took of each of these.", null=True
            ),
        ),
        migrations.RunSQL(script("rates.sql"), script("rates_reverse.sql")),
    ]
