from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = gettext_lazy("Configuration")

    def ready(self) -> None:
        from config import checks, declared  # noqa: F401 - registers Django's system checks

        # The way Django itself creates permissions: what is declared in code exists as soon as its tables do. Of the
        # apps with tables, healthchecks is the last in INSTALLED_APPS: by then all of them are there.
        post_migrate.connect(declared.after_migrate, sender=apps.get_app_config("healthchecks"))
