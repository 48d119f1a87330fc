from django.db import migrations, models

from gateway.sql import script


class Migration(migrations.Migration):
    dependencies = [("tollhouse_gateway", "0004_key_rotation")]

    operations = [
        migrations.AlterModelOptions(
            name="promptversion",
            options={
                "ordering": ["-created_at", "-id"],
                "permissions": [("run_playground", "Can run prompts in the playground, at its budget's cost")],
            },
        ),
        migrations.AddConstraint(
            model_name="key",
            constraint=models.CheckConstraint(
                condition=models.Q(("name", "playground"), _negated=True),
                name="tollhouse_key_not_the_playground",
                violation_error_message="“playground” is what the playground's calls are booked under; choose another name.",
            ),
        ),
        migrations.RunSQL(script("prompts.sql"), script("prompts_reverse.sql")),
    ]
