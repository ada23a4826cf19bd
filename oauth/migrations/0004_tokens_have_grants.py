import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("oauth", "0003_give_each_token_a_grant")]

    operations = [
        migrations.AlterField(
            model_name="token",
            name="grant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="tokens", to="oauth.grant"
            ),
        ),
        migrations.RemoveConstraint(
            model_name='token',
            name='oauth_token_state_known',
        ),
        migrations.RemoveField(
            model_name='token',
            name='generation',
        ),
        migrations.RemoveField(
            model_name='token',
            name='last_error',
        ),
        migrations.RemoveField(
            model_name='token',
            name='lease_until',
        ),
        migrations.RemoveField(
            model_name='token',
            name='state',
        ),
    ]
