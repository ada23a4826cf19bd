"""What providers answer, judged: the parts that every provider's `read` is made of."""

from collections.abc import Callable
from http import HTTPStatus

from integrations.providers.payloads import at, json_body, text
from integrations.providers.spec import Answer, Finding, Json, Reading
from integrations.redaction import without_keys

OK = Reading("ok")


def json_of(answer: Answer) -> Json:
    """The answer's JSON; {} for a 204, which has none by right; None when there is none of any use (null)."""
    if answer.status == 204:
        return {}
    try:
        return json_body(answer.body)
    except ValueError:
        return None


def shown(message: str) -> str:
    """A provider's own words, fit for a page: one line, at most 200 characters, nothing that looks like a key, an
    e-mail address or a long number."""
    line = " ".join("".join(char if char.isprintable() else " " for char in message[:2000]).split())
    return without_keys(line)[:200]


def said(body: Json, *paths: str) -> str:
    """The texts at these paths that say something, joined, each once: "INVALID_TOKEN: invalid oauth token"."""
    return shown(": ".join(dict.fromkeys(filter(None, (text(at(body, path)) for path in paths)))))


def code_at(body: Json, *paths: str) -> str:
    """The provider's own word for an error, at the first of these paths that has one: "DUPLICATE_DATA"."""
    return next((shown(word)[:80] for path in paths if (word := text(at(body, path)))), "")


def by_status(
    answer: Answer, words: str, *, code: str = "", throttled: frozenset[int] = frozenset({429})
) -> Reading | None:
    """What the status alone decides; None for a 2xx, where the body has the last word."""
    if 200 <= answer.status < 300:
        return None
    told = f"HTTP {answer.status}: {words or _phrase(answer.status)}"
    return Reading(_finding(answer.status, throttled), told, code)


def not_json(answer: Answer) -> Reading:
    """Somebody else's page, or half an answer: it says nothing about the request, so it may pass."""
    kind = shown(answer.headers.get("content-type", "")) or "no content type"
    return Reading("failed", f"HTTP {answer.status}, but the answer holds no JSON ({kind}).", passing=True)


def rest(*message: str, code: str = "") -> Callable[[Answer], Reading]:
    """The `read` of an API that means its HTTP status; `message` are the paths of what it says when it errs, `code`
    that of its own word for it."""

    def read(answer: Answer) -> Reading:
        body = json_of(answer)
        if verdict := by_status(answer, said(body, *message), code=code_at(body, code) if code else ""):
            return verdict
        return not_json(answer) if body is None else OK

    return read


def _finding(status: int, throttled: frozenset[int]) -> Finding:
    if status in throttled:
        return "throttled"
    return "refused" if status in (401, 403) else "failed"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"
