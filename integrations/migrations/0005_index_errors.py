"""The newest errors of an integration are found without going through its calls."""

from django.db import migrations, models

from integrations.indexing import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('integrations', '0004_count_calls'),
    ]

    operations = [
        AddIndex(
            model_name='apimetric',
            index=models.Index(condition=models.Q(('error_message', ''), _negated=True), fields=['integration', '-created_at'], name='api_metric_errors'),
        ),
    ]
