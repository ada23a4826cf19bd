"""The dead man's switch: an address outside that expects to be called at each turn of the health job.

When beat or worker stops, nobody here can say so; whoever waits for the call can (healthchecks.io, or your own).
"""

import logging

from django.conf import settings

from integrations import http
from integrations.providers.spec import ProviderError

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0


def call() -> bool:
    """Say that the sweep ran through; whether somebody heard it. Never raises. The address is a secret: not logged."""
    if not settings.DEADMAN_URL:
        return False
    request = http.Request(
        url=settings.DEADMAN_URL, endpoint="deadman", timeout_s=TIMEOUT_SECONDS, max_bytes=65_536
    )  # fmt: skip
    try:
        answer = http.send(request, networks=settings.OUTBOUND_ALLOWED_NETWORKS)
    except ProviderError as error:
        log.warning("DEADMAN_URL was not reached (%s)", type(error).__name__)
        return False
    if answer.status >= 300:
        log.warning("DEADMAN_URL answers HTTP %d", answer.status)
        return False
    return True
