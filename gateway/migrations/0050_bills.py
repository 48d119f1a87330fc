import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from gateway.sql import script


class Migration(migrations.Migration):
    dependencies = [("tollhouse_gateway", "0040_rate_limits")]

    operations = [
        migrations.CreateModel(
            name="Bill",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.CharField(help_text="Provider whose calls it was compared with.", max_length=100)),
                ("files", models.CharField(help_text="Names of the files and what they are.", max_length=500)),
                (
                    "fingerprint",
                    models.CharField(
                        help_text="SHA-256 of what was compared and found; the same once only.",
                        max_length=64,
                        unique=True,
                    ),
                ),
                ("since", models.DateField(help_text="First day, UTC.")),
                ("until", models.DateField(help_text="Last day, UTC.")),
                (
                    "billed_usd",
                    models.DecimalField(
                        blank=True,
                        decimal_places=9,
                        help_text="Empty: the files have tokens only.",
                        max_digits=18,
                        null=True,
                    ),
                ),
                ("ledger_usd", models.DecimalField(decimal_places=9, max_digits=18)),
                ("tolerance_percent", models.DecimalField(decimal_places=3, max_digits=6)),
                ("matches", models.BooleanField(help_text="Every difference is within the tolerance.")),
                ("made_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("made_by", models.CharField(max_length=150)),
            ],
            options={"db_table": "tollhouse_bill", "ordering": ["-id"]},
        ),
        migrations.CreateModel(
            name="BillLine",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField(help_text="UTC, as vendors bill.")),
                ("provider", models.CharField(blank=True, help_text="Empty: no provider of ours.", max_length=100)),
                ("model", models.CharField(blank=True, help_text="Empty: all models.", max_length=200)),
                ("key", models.CharField(blank=True, help_text="The vendor's key; empty: all.", max_length=200)),
                ("billed_usd", models.DecimalField(blank=True, decimal_places=9, max_digits=18, null=True)),
                ("ledger_usd", models.DecimalField(decimal_places=9, max_digits=18)),
                ("billed_tokens", models.BigIntegerField(blank=True, null=True)),
                ("ledger_tokens", models.BigIntegerField()),
                ("calls", models.BigIntegerField(help_text="Calls of the ledger.")),
                ("differs", models.BooleanField(help_text="By more than the tolerance.")),
                ("causes", models.JSONField(default=list, help_text="Likely causes, the likeliest first.")),
                (
                    "bill",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lines",
                        to="tollhouse_gateway.bill",
                    ),
                ),
            ],
            options={"db_table": "tollhouse_bill_line", "ordering": ["bill", "day", "provider", "model", "key"]},
        ),
        migrations.AlterField(
            "adjustment",
            "call_id",
            models.UUIDField(blank=True, help_text="Empty: it corrects a whole line of a bill.", null=True),
        ),
        migrations.AlterField(
            "adjustment",
            "tokens",
            models.BigIntegerField(default=0, help_text="To be added to the call's tokens."),
        ),
        migrations.AddField(
            "adjustment",
            "price_id",
            models.BigIntegerField(
                blank=True, help_text="Row of the price book that the call was repriced with.", null=True
            ),
        ),
        migrations.AddField(
            "adjustment",
            "bill_line",
            models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="adjustment",
                to="tollhouse_gateway.billline",
            ),
        ),
        migrations.AddConstraint(
            "adjustment",
            models.CheckConstraint(
                condition=models.Q(("call_id__isnull", False), ("bill_line__isnull", False), _connector="XOR"),
                name="tollhouse_adjustment_of_call_or_bill",
            ),
        ),
        migrations.RunSQL(script("bills.sql"), script("bills_reverse.sql")),
    ]
