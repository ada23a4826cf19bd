from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = "Integrations"

    def ready(self) -> None:
        from integrations import checks  # noqa: F401 - registers Django's system checks


class SuperuserAdminConfig(AdminConfig):
    default_site = "integrations.adminsite.SuperuserSite"
