"""A provider's probe as a request: the cheapest call that proves that its API answers and takes our credentials."""

from integrations import credentials, http
from integrations.providers.spec import ApiKey, OAuth2, Probe, Provider


def request(provider: Provider, probe: Probe, *, token: str = "", region: str = "") -> http.Request:
    """The probe with our credentials in the place where the provider wants them; `region`: where the token is from."""
    headers, params = dict(probe.headers), probe.query(credentials.value)
    match provider.auth:
        case ApiKey() as key if probe.authenticated:
            secret = credentials.api_value(provider, key.env)
            if key.header:
                headers[key.header] = key.prefix + secret
            elif key.query:
                params[key.query] = secret
        case OAuth2() as grant if probe.authenticated:
            headers["Authorization"] = grant.header_prefix + token
    if provider.headers:
        headers |= provider.headers({name: credentials.api_value(provider, name) for name in provider.settings})
    return http.Request(
        method=probe.method,
        url=credentials.base_url(provider, region=region) + probe.path,
        endpoint=probe.endpoint or probe.path,
        params=params,
        headers=headers,
        body=probe.body,
        timeout_s=probe.timeout_s,
    )


def unset(provider: Provider) -> list[str]:
    """The variables without which the probe can't be sent."""
    settings = [name for name in provider.settings if not credentials.api_value(provider, name)]
    return [*credentials.missing(provider), *settings]
