import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tollhouse_budgets", "0040_rate_limits")]

    operations = [
        # Windows that exist keep NULL: when they were made is not known.
        migrations.AddField("window", "made_at", models.DateTimeField(editable=False, null=True)),
        migrations.AlterField(
            "window",
            "made_at",
            models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                editable=False,
                help_text="Calls before it did not count in this window.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="WindowSample",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("spent", models.DecimalField(decimal_places=9, max_digits=27)),
                (
                    "window",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="samples",
                        to="tollhouse_budgets.window",
                    ),
                ),
            ],
            options={
                "db_table": "tollhouse_window_sample",
                "ordering": ["window", "at"],
                "indexes": [models.Index(fields=["at"], name="tollhouse_window_sample_at")],
                "constraints": [
                    models.UniqueConstraint(fields=("window", "at"), name="tollhouse_window_sample_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Forecast",
            fields=[
                (
                    "window",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="forecast",
                        serialize=False,
                        to="tollhouse_budgets.window",
                    ),
                ),
                ("made_at", models.DateTimeField()),
                ("expected", models.DecimalField(decimal_places=9, max_digits=27, null=True)),
                ("low", models.DecimalField(decimal_places=9, max_digits=27, null=True)),
                ("high", models.DecimalField(decimal_places=9, max_digits=27, null=True)),
                (
                    "runs_out_at",
                    models.DateTimeField(help_text="When the limit is reached; empty: not in this window.", null=True),
                ),
                ("note", models.CharField(help_text="What it rests on.", max_length=200)),
            ],
            options={"db_table": "tollhouse_forecast", "ordering": ["window"]},
        ),
    ]
