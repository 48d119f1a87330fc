from django.db import migrations, models

from gateway.sql import script


class Migration(migrations.Migration):

    dependencies = [
        ('tollhouse_dashboards', '0020_error_class'),
    ]

    operations = [
        migrations.RunSQL(script('rollup_weeks.sql'), script('rollup_weeks_reverse.sql')),
        migrations.AddField(
            model_name='rollupstate',
            name='hours_since',
            field=models.DateTimeField(default=None, help_text='Since when there are all hours of the kinds whose hours are kept for some days only.'),
            preserve_default=False,
        ),
    ]
