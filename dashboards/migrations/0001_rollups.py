from django.db import migrations, models

from gateway.sql import script


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('tollhouse_gateway', '0085_written'),
    ]

    operations = [
        migrations.RunSQL(script('rollup_tables.sql'), script('rollup_tables_reverse.sql')),
        migrations.CreateModel(
            name='RollupState',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('watermark', models.BigIntegerField(help_text='Rows written by transactions before this one are counted.')),
                ('offset', models.BigIntegerField(default=0, help_text='What is added to ids of transactions, which start anew after a restore elsewhere.')),
                ('cluster', models.CharField(help_text='The database cluster that the transactions are of.', max_length=20)),
                ('time_zone', models.CharField(help_text='Whose days the days are.', max_length=100)),
                ('shift_s', models.PositiveSmallIntegerField(default=0, help_text='Seconds past the full hour (UTC) at which hours begin, as in that time zone.')),
                ('built', models.BooleanField(default=False, help_text='Everything before the watermark is counted.')),
                ('built_until', models.DateTimeField(blank=True, help_text='How far building them anew has come.', null=True)),
                ('rolled_at', models.DateTimeField(blank=True, help_text='When new rows were last counted.', null=True)),
                ('moved_at', models.DateTimeField(blank=True, help_text='When the watermark last moved.', null=True)),
            ],
            options={
                'verbose_name_plural': 'rollup state',
                'db_table': 'tollhouse_rollup_state',
            },
        ),
    ]
