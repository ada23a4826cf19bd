from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class AccountsConfig(AppConfig):
    name = "integrations.accounts"
    label = "accounts"
    verbose_name = gettext_lazy("People and API tokens")

    def ready(self) -> None:
        from integrations.accounts import fresh  # noqa: F401 - they listen to who signs in
        from integrations.accounts.login import company, trail  # noqa: F401
