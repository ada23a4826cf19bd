"""The providers, one file each, in the order in which people see them.

Adding one: write its file, add its line here, put a sample of each of its events into ``samples/<slug>/``. The
contract tests, the sandbox, the registry row, the receiver and the health check follow from that (CONTRIBUTING.md).
"""

from integrations.providers import clickatell, didit, google, mtn, netcash, resend
from integrations.providers.spec import Provider
from integrations.providers.zoho import billing, crm, desk, sign

PROVIDERS: tuple[Provider, ...] = (
    crm.PROVIDER,
    sign.PROVIDER,
    billing.PROVIDER,
    desk.PROVIDER,
    didit.PROVIDER,
    netcash.PROVIDER,
    mtn.PROVIDER,
    clickatell.PROVIDER,
    resend.PROVIDER,
    google.PROVIDER,
)

_BY_SLUG = {provider.slug: provider for provider in PROVIDERS}


def get(slug: str) -> Provider | None:
    return _BY_SLUG.get(slug)
