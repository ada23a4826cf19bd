"""Answers as providers give them."""

import json
from typing import Any

from integrations.providers.spec import Answer


def answer(status: int = 200, body: Any = b"", **headers: str) -> Answer:
    """`body`: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers=named, body=content, elapsed_ms=1)
