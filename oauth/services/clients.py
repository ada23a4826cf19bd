"""An integration's client, with the token that belongs to it."""

from functools import partial

from integrations.clients.base import Client
from integrations.models import Integration
from oauth.models import Token
from oauth.services import refresh, servers


def client_of(integration: Integration) -> Client:
    """For `integrations.clients`: it asks for its token, and where that is from, at each call."""
    return Client(
        integration=integration,
        token=partial(refresh.access_token, integration),
        another=lambda refused: refresh.replacement(integration, refused=refused),
        region=lambda: servers.region(Token.objects.filter(integration=integration).first()),
    )
