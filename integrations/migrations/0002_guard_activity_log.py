from django.db import migrations

from integrations import triggers


def install(apps, schema_editor):
    apps.get_model("integrations", "ActivityHead").objects.using(schema_editor.connection.alias).get_or_create(pk=1)
    triggers.install(schema_editor.connection)


def remove(apps, schema_editor):
    triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("integrations", "0001_initial")]
    operations = [migrations.RunPython(install, remove)]
