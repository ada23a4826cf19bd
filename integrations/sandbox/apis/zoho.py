"""What the four Zoho products share: who gets in, and the made-up people they all know."""

from collections.abc import Callable

from integrations.sandbox import oauth
from integrations.sandbox.state import State
from integrations.sandbox.wire import Call, Reply

PEOPLE = (
    ("Lerato", "Dlamini", "lerato.dlamini@example.com", "+27820000001"),
    ("Pieter", "van Wyk", "pieter.vanwyk@example.com", "+27820000002"),
    ("Aisha", "Naidoo", "aisha.naidoo@example.com", "+27820000003"),
    ("Sipho", "Khumalo", "sipho.khumalo@example.com", "+27820000004"),
)


def admit(
    product: str, refused: Callable[[Call], Reply], mismatch: Callable[[Call], Reply]
) -> Callable[[Call, State], Reply | None]:
    """Lets in an access token of this sandbox with any scope of `product` ("ZohoCRM.")."""

    def judge(call: Call, state: State) -> Reply | None:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        scopes = oauth.scopes(token, state, call.now)
        if scheme != "Zoho-oauthtoken" or scopes is None:  # never "Bearer"
            return refused(call)
        return None if any(scope.startswith(product) for scope in scopes.split(",")) else mismatch(call)

    return judge
