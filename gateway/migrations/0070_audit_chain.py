from django.db import migrations, models

from gateway.sql import script


class Migration(migrations.Migration):

    dependencies = [
        ('tollhouse_gateway', '0060_degradation'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditHead',
            fields=[
                ('id', models.SmallIntegerField(primary_key=True, serialize=False)),
                ('entries', models.BigIntegerField()),
                ('hash', models.CharField(blank=True, max_length=64)),
            ],
            options={
                'db_table': 'tollhouse_audit_head',
            },
        ),
        migrations.CreateModel(
            name='AuditLink',
            fields=[
                ('place', models.BigIntegerField(help_text='From 1 on, without gaps.', primary_key=True, serialize=False)),
                ('entry_id', models.BigIntegerField(unique=True)),
                ('hash', models.CharField(help_text="SHA-256 of the link before it and of the entry's content.", max_length=64)),
            ],
            options={
                'db_table': 'tollhouse_audit_link',
            },
        ),
        migrations.RunSQL(script("audit_chain.sql"), script("audit_chain_reverse.sql")),
    ]
