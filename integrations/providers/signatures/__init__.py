"""How deliveries are signed, and how that is checked: pure functions, no ORM, no network.

A scheme is a pair, `verify` (spec.Verify) and `sign` (spec.Sign). Those with variations are small frozen classes whose
fields are the variations; those that one provider alone has are modules. Whatever bytes come in, `verify` returns or
raises `spec.Refused`, never anything else; every comparison takes constant time.
"""

from integrations.providers.signatures import desk, didit, netcash
from integrations.providers.signatures.desk import desk_signer
from integrations.providers.signatures.hmacs import BodyHmac
from integrations.providers.signatures.shared import SharedSecret
from integrations.providers.signatures.standard import StandardWebhooks
from integrations.providers.signatures.zoho import BillingHmac, BodyToken

__all__ = [
    "BillingHmac",
    "BodyHmac",
    "BodyToken",
    "SharedSecret",
    "StandardWebhooks",
    "desk",
    "desk_signer",
    "didit",
    "netcash",
]
