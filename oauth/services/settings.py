"""What admins may set about a token."""

from django.db import transaction
from django.utils.translation import gettext as _

from integrations import activity
from integrations.actor import Actor
from integrations.models import Integration
from oauth.models import Token


class NeverConnected(Exception):
    """There is no token to set anything about."""


@transaction.atomic
def change(integration: Integration, *, auto_refresh: bool, actor: Actor) -> Token:
    """Renew it by the clock, or not. Writes and logs only a difference. Raises NeverConnected."""
    token = Token.objects.select_for_update(of=("self",)).filter(integration=integration).first()
    if token is None:
        raise NeverConnected(_("{name} was never connected.").format(name=integration.name))
    if token.auto_refresh != auto_refresh:
        token.auto_refresh = auto_refresh
        token.save(update_fields=["auto_refresh", "updated_at"])
        details = {"before": {"auto_refresh": not auto_refresh}, "after": {"auto_refresh": auto_refresh}}
        activity.record(actor=actor, action="oauth_changed", integration=integration, details=details)
    return token
