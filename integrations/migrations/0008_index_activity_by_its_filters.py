"""An action, a request and what went wrong are found in the activity log without going through it."""

from django.db import migrations, models

from integrations.indexing import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('integrations', '0007_reserve_account_and_palette'),
    ]

    operations = [
        AddIndex(
            model_name='activity',
            index=models.Index(fields=['action', '-created_at'], name='activity_by_action'),
        ),
        AddIndex(
            model_name='activity',
            index=models.Index(fields=['request_id', '-created_at'], name='activity_by_request'),
        ),
        AddIndex(
            model_name='activity',
            index=models.Index(condition=models.Q(('outcome__in', ['failure', 'refused'])), fields=['outcome', '-created_at'], name='activity_by_outcome'),
        ),
    ]
