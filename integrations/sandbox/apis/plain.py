"""What a provider gets that has no file here yet: its probe, its key and its rate limit, as its declaration says."""

from integrations.providers.spec import ApiKey, OAuth2, Provider
from integrations.sandbox import oauth
from integrations.sandbox.state import State, Window
from integrations.sandbox.wire import Api, Call, Quota, Reply, Route, answer, same


def play(provider: Provider) -> Api:
    probe, limit = provider.probe, provider.limit

    def admit(call: Call, state: State) -> Reply | None:
        match provider.auth:
            case ApiKey(env=env, header=header, query=query, prefix=prefix) if header or query:
                given = call.headers.get(header.lower(), "") if header else call.query.get(query, "")
                return None if same(given, prefix + state.value(env)) else refused(call)
            case OAuth2(header_prefix=prefix):
                token = call.headers.get("authorization", "").removeprefix(prefix)
                return None if oauth.scopes(token, state, call.now) is not None else refused(call)
        return None

    def told(window: Window) -> dict[str, str]:
        if limit is None:
            return {}
        reset = window.reset_at if limit.reset == "epoch" else window.seconds
        values = {
            limit.limit_header: window.limit,
            limit.remaining_header: window.remaining,
            limit.reset_header: int(reset),
        }
        return {name: str(value) for name, value in values.items() if name}

    def refused(_: Call) -> Reply:
        return answer({"error": "The credentials are not valid."}, 401)

    return Api(
        slug=provider.slug,
        routes=(Route(probe.method, probe.path or "/", lambda call, state: answer({"status": "ok"})),)
        if probe
        else (),
        admit=admit,
        refused=refused,
        throttled=lambda call, seconds: answer({"error": "Too many requests."}, 429, {"Retry-After": str(seconds)}),
        failed=lambda call: answer({"error": "Internal server error."}, 500),
        missing=lambda call: answer({"error": "Not found."}, 404),
        quota=lambda call: Quota(limit.requests, limit.seconds, headers=told) if limit else None,
    )
