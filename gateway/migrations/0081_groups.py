from django.db import migrations

ROLES = ("viewer", "finance", "prompt author", "budget owner", "reviewer", "auditor", "admin")


def make_groups(apps, schema_editor):
    """A group for each role; `gateway.roles` gives it its permissions after `migrate`."""
    using = schema_editor.connection.alias
    for name in ROLES:
        group, _ = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=f"Tollhouse: {name}")
        apps.get_model("tollhouse_gateway", "Role").objects.using(using).create(name=name, group=group)


def remove_groups(apps, schema_editor):
    roles = apps.get_model("tollhouse_gateway", "Role").objects.using(schema_editor.connection.alias)
    for role in roles.select_related("group"):
        role.group.delete()


class Migration(migrations.Migration):

    dependencies = [
        ('tollhouse_gateway', '0080_roles'),
    ]

    operations = [migrations.RunPython(make_groups, remove_groups)]
