
import django.core.validators
import django.db.models.functions.datetime
from decimal import Decimal
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tollhouse_gateway', '0050_bills'),
        ('tollhouse_redaction', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('host', models.CharField(max_length=255)),
                ('pid', models.IntegerField()),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'db_table': 'tollhouse_worker',
            },
        ),
        migrations.AddField(
            model_name='call',
            name='spooled',
            field=models.BooleanField(db_default=False, default=False, help_text='Written to a local file first, as the database was away.'),
        ),
        migrations.AddField(
            model_name='feature',
            name='on_disconnect',
            field=models.CharField(choices=[('cancel', "cancel the provider's reply"), ('drain', 'read the reply to its end, for its usage')], default='cancel', help_text='When the client leaves before the reply is complete. A drained reply costs what it would have cost.', max_length=10),
        ),
        migrations.AddField(
            model_name='feature',
            name='on_ledger_away',
            field=models.CharField(choices=[('refuse', 'refuse the call'), ('spool', 'let it pass, and keep its row in a local file until the database is back')], default='refuse', help_text="While the ledger's database is away. Calls that pass are held to no budget but the spool limit.", max_length=10),
        ),
        migrations.AddField(
            model_name='feature',
            name='spool_limit_usd',
            field=models.DecimalField(blank=True, decimal_places=9, help_text='With spool: the most that one server process may spend in one outage; US dollars.', max_digits=18, null=True, validators=[django.core.validators.MinValueValidator(Decimal('1E-9'))]),
        ),
        migrations.AddConstraint(
            model_name='feature',
            constraint=models.CheckConstraint(condition=models.Q(('on_ledger_away', 'refuse'), models.Q(('on_ledger_away', 'spool'), ('spool_limit_usd__gt', 0), ('spool_limit_usd__isnull', False)), _connector='OR'), name='tollhouse_feature_spool_limited', violation_error_message='A feature that spools needs a spool limit above zero.'),
        ),
        migrations.AddConstraint(
            model_name='feature',
            constraint=models.CheckConstraint(condition=models.Q(('on_disconnect__in', ['cancel', 'drain'])), name='tollhouse_feature_on_disconnect_known'),
        ),
    ]
