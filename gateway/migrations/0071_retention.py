import django.core.validators
import django.db.models.functions.datetime
from django.db import migrations, models

from gateway.sql import script


class Migration(migrations.Migration):

    dependencies = [
        ('tollhouse_gateway', '0070_audit_chain'),
    ]

    operations = [
        migrations.CreateModel(
            name='RetentionKind',
            fields=[
                ('kind', models.CharField(max_length=40, primary_key=True, serialize=False)),
                ('keep_days', models.PositiveIntegerField(help_text='Of features without a rule of their own; from the settings.')),
                ('ran_at', models.DateTimeField(editable=False, null=True)),
                ('removed_at', models.DateTimeField(editable=False, help_text='When something was removed last.', null=True)),
                ('removed', models.JSONField(default=dict, editable=False, help_text='What was removed then: rows, and whole partitions.')),
            ],
            options={
                'verbose_name': 'retention',
                'verbose_name_plural': 'retention',
                'db_table': 'tollhouse_retention_kind',
                'ordering': ['kind'],
            },
        ),
        migrations.AlterModelOptions(
            name='call',
            options={'ordering': ['-id'], 'permissions': [('export_call', 'Can export calls'), ('export_person', 'Can export what is kept of a person'), ('erase_person', 'Can erase what is kept of a person')]},
        ),
        migrations.CreateModel(
            name='CallSum',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('feature', models.CharField(max_length=100)),
                ('tenant', models.CharField(blank=True, max_length=200)),
                ('cohort', models.CharField(blank=True, max_length=100)),
                ('key', models.CharField(blank=True, max_length=100)),
                ('source', models.CharField(max_length=20)),
                ('prompt_version', models.CharField(blank=True, max_length=64)),
                ('route', models.CharField(blank=True, max_length=100)),
                ('provider', models.CharField(blank=True, max_length=100)),
                ('model_served', models.CharField(blank=True, max_length=200)),
                ('outcome', models.CharField(max_length=20)),
                ('calls', models.BigIntegerField()),
                ('cost_usd', models.DecimalField(decimal_places=9, max_digits=27)),
                ('tokens', models.BigIntegerField()),
            ],
            options={
                'verbose_name': 'sum of removed calls',
                'verbose_name_plural': 'sums of removed calls',
                'db_table': 'tollhouse_call_sum',
                'ordering': ['-day', 'feature'],
                'constraints': [models.UniqueConstraint(fields=('day', 'feature', 'tenant', 'cohort', 'key', 'source', 'prompt_version', 'route', 'provider', 'model_served', 'outcome'), name='tollhouse_call_sum_once')],
            },
        ),
        migrations.CreateModel(
            name='LegalHold',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tenant', models.CharField(blank=True, max_length=200)),
                ('user_ref', models.CharField(blank=True, help_text="As the user's calls show it; a keyed hash by default.", max_length=200, verbose_name='user reference')),
                ('reason', models.CharField(help_text='Which matter, or who asked. Shown to whoever is refused by it.', max_length=500)),
                ('set_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('set_by', models.CharField(editable=False, max_length=150)),
                ('lifted_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('lifted_by', models.CharField(blank=True, editable=False, max_length=150)),
                ('lift_reason', models.CharField(blank=True, editable=False, max_length=500)),
            ],
            options={
                'db_table': 'tollhouse_legal_hold',
                'ordering': ['-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(('tenant', ''), ('user_ref', ''), _connector='XOR'), name='tollhouse_legal_hold_of_one', violation_error_message='Give a tenant or a user reference, one of the two.'), models.UniqueConstraint(condition=models.Q(('lifted_at', None)), fields=('tenant', 'user_ref'), name='tollhouse_legal_hold_in_force_once', violation_error_message='There is a legal hold in force for that already.')],
            },
        ),
        migrations.CreateModel(
            name='RetentionRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=40)),
                ('feature', models.CharField(max_length=100)),
                ('keep_days', models.PositiveIntegerField(help_text='Rows older than this are invisible from that moment on, those that exist already among them, and are removed soon after. A shorter time cannot be taken back.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(36500)])),
            ],
            options={
                'db_table': 'tollhouse_retention_rule',
                'ordering': ['kind', 'feature'],
                'constraints': [models.UniqueConstraint(fields=('kind', 'feature'), name='tollhouse_retention_rule_once'), models.CheckConstraint(condition=models.Q(('keep_days__gte', 1), ('keep_days__lte', 36500)), name='tollhouse_retention_rule_days'), models.CheckConstraint(condition=models.Q(('feature', ''), _negated=True), name='tollhouse_retention_rule_of_a_feature')],
            },
        ),
        migrations.RunSQL(script("retention.sql"), script("retention_reverse.sql")),
    ]
