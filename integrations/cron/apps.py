from django.apps import AppConfig


class CronConfig(AppConfig):
    name = "integrations.cron"
    label = "cron"
    verbose_name = "Scheduled jobs"
