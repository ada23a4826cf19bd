"""Taking out of texts what nobody is to read in them: what looks like a key, and whom it is about. Pure."""

import re

# Providers like to repeat the key they refuse. A run this long with a digit in it is no word: a key, a token, an id.
_SECRET_LIKE = re.compile(r"(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{20,}")
# And whom it was about: an address, a number that may be a phone's or an identity card's.
_PERSONAL = re.compile(r"[^\s<>()\"',;:]+@[^\s<>()\"',;:]+|\+?\d{9,15}(?!\d)")
# Ours: the ids of rows, which a search begins with.
_ID = re.compile(r"(\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)")
_USERINFO = re.compile(r"(?<=://)[^\s/?#@]*@")
_QUERY = re.compile(r"(://[^\s?#\"'<>]*)[?#][^\s\"'<>]*")
_NAMED = re.compile(
    r"(?i)((?:authorization|cookie|token|secret|passw(?:or)?d|pwd|api[_-]?key|signature|client_secret|code_verifier)"
    r"[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|zoho-oauthtoken)\s+)?|\b(?:bearer|basic|zoho-oauthtoken)\s+)"
    r"[^\s\"',;&]+"
)

GONE = "…"


def without_keys(text: str) -> str:
    """Without anything that looks like a key, an e-mail address or a long number."""
    return _PERSONAL.sub(GONE, _SECRET_LIKE.sub(GONE, text))


def for_a_log(text: str) -> str:
    """The same, and without what follows a name such as `token=`, and without an address's password and query; but
    with the ids of rows."""
    text = _NAMED.sub(rf"\1{GONE}", _QUERY.sub(rf"\1?{GONE}", _USERINFO.sub("", text)))
    parts = _ID.split(text)
    return "".join(part if number % 2 else without_keys(part) for number, part in enumerate(parts))
