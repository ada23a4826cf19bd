from django.db import migrations


def give(apps, schema_editor):
    Grant, Token = apps.get_model("oauth", "Grant"), apps.get_model("oauth", "Token")
    for token in Token.objects.filter(grant=None).iterator():
        state = "needs_reauth" if token.state == "revoked" else "connected"
        token.grant = Grant.objects.create(state=state, generation=token.generation, last_error=token.last_error)
        token.save(update_fields=["grant"])


class Migration(migrations.Migration):
    dependencies = [("oauth", "0002_share_grants")]

    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
