"""Indexes for lists by event type and of tests, for whatever bears a key, and for what workers look for.

On PostgreSQL they are built while deliveries come in.
"""

from django.db import migrations, models

from integrations.indexing import AddIndex, RemoveIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('webhooks', '0004_watch_rhythms'),
    ]

    operations = [
        AddIndex(
            model_name='webhooklog',
            index=models.Index(fields=['event_type', 'status', '-created_at', '-id'], name='webhook_log_by_event'),
        ),
        AddIndex(
            model_name='webhooklog',
            index=models.Index(condition=models.Q(('is_test', True)), fields=['-created_at', '-id'], name='webhook_log_tests'),
        ),
        AddIndex(
            model_name='webhooklog',
            index=models.Index(condition=models.Q(('claims_key', False)), fields=['idempotency_key'], name='webhook_log_key_again'),
        ),
        AddIndex(
            model_name='webhooklog',
            index=models.Index(condition=models.Q(('due_at__isnull', False), ('verified', False)), fields=['webhook', 'due_at'], name='webhook_log_unverified'),
        ),
        AddIndex(
            model_name='webhooklog',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['webhook', 'due_at', 'id'], name='webhook_log_due_in_order'),
        ),
        RemoveIndex(
            model_name='webhooklog',
            name='webhook_log_due',
        ),
        AddIndex(
            model_name='forward',
            index=models.Index(condition=models.Q(('due_at__isnull', False)), fields=['webhook', 'id'], name='webhook_forward_in_order'),
        ),
    ]
