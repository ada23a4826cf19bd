"""Indexes for what was given up lately, however long ago it was made. On PostgreSQL they are built while deliveries
come in.
"""

from django.db import migrations, models

from integrations.indexing import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('webhooks', '0009_drop_what_is_personal'),
    ]

    operations = [
        AddIndex(
            model_name='webhooklog',
            index=models.Index(condition=models.Q(('due_at', None), ('status', 'failed')), fields=['webhook', 'started_at'], name='webhook_log_given_up'),
        ),
        AddIndex(
            model_name='forward',
            index=models.Index(condition=models.Q(('due_at', None), ('status', 'failed')), fields=['webhook', 'started_at'], name='webhook_forward_given_up'),
        ),
    ]
