"""The OpenAPI document, completed: every operation says how it fails, and what its limit is."""

from typing import Any

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "Stable, snake_case."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("field", "code", "message")},
            },
        },
    },
}
ALWAYS = {
    "400": "Not valid",
    "401": "Not signed in",
    "403": "Not allowed",
    "404": "Not found",
    "429": "Too many requests",
    "503": "Closed for planned work",
}
WITH_BODY = {"413": "Too large", "415": "Not JSON"}
_COUNT = {"type": "integer", "minimum": 0}
HEADERS: dict[str, Any] = {
    "RateLimit-Limit": {"description": "Calls of this kind that a person has in a window.", "schema": _COUNT},
    "RateLimit-Remaining": {"description": "How many of them are left.", "schema": _COUNT},
    "RateLimit-Reset": {"description": "Seconds until the next window.", "schema": _COUNT},
    "Retry-After": {"description": "Seconds to wait.", "schema": _COUNT},
}


def problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A drf-spectacular postprocessing hook: adds RFC 9457 answers to each operation, and says what each answer is
    made of."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = PROBLEM
    components["headers"] = HEADERS
    for path in result.get("paths", {}).values():
        for operation in path.values():
            answers = operation["responses"]
            for status, words in {**ALWAYS, **(WITH_BODY if "requestBody" in operation else {})}.items():
                answers.setdefault(status, {"description": words})
            for status, answer in answers.items():
                _complete(status, answer)
    _untangle(components["schemas"])
    return result


def _complete(status: str, answer: dict[str, Any]) -> None:
    if status >= "400":
        schema = {"$ref": "#/components/schemas/Problem"}
        answer.setdefault("content", {"application/problem+json": {"schema": schema}})
    told = [name for name in HEADERS if name != "Retry-After" or status in ("429", "503")]
    answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in told}


def _untangle(schema: Any) -> None:
    """`oneOf` anything and null, as drf-spectacular writes a nullable JSON field: null would be two of them."""
    if isinstance(schema, dict):
        if schema.get("oneOf") == [{}, {"type": "null"}]:
            del schema["oneOf"]
        for part in schema.values():
            _untangle(part)
    elif isinstance(schema, list):
        for part in schema:
            _untangle(part)
