"""When what is personal in an event was dropped, and what its bytes were; up to where a receiver has none left.

The columns are empty at first, so no row is rewritten; the index is built while deliveries come in.
"""

from django.db import migrations, models

from integrations.indexing import AddIndex


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('webhooks', '0008_ask_again_on_whose_behalf'),
    ]

    operations = [
        migrations.AddField(
            model_name='webhook',
            name='personal_dropped_to',
            field=models.DateTimeField(blank=True, help_text='No event before this holds a personal field any more.', null=True),
        ),
        migrations.AddField(
            model_name='webhooklog',
            name='personal_dropped_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='webhooklog',
            name='body_size',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='webhooklog',
            name='body_sha256',
            field=models.CharField(blank=True, max_length=64, null=True),
        ),
        AddIndex(
            model_name='webhooklog',
            index=models.Index(condition=models.Q(('personal_dropped_at', None), ('replay_of__isnull', False)), fields=['webhook', 'created_at'], name='webhook_log_replays_whole'),
        ),
    ]
