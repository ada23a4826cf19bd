"""Lists as CSV: streamed in pages, so that memory stays the same however long they are."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from integrations.sheets import neutral


class CsvRenderer(BaseRenderer):
    """Lets a caller ask for text/csv; what is streamed needs no rendering."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b""


def stream(
    request: Request | HttpRequest, *, name: str, columns: Sequence[str], pages: Iterator[Iterable[Sequence[Any]]]
) -> StreamingHttpResponse:
    """`pages` yields rows by the page, each page one query; it is first asked when the answer is on its way.

    Django's ASGI side would collect an ordinary iterator before it sends anything, its WSGI side an asynchronous one.
    """
    parts = _texts(columns, pages)
    asked = request._request if isinstance(request, Request) else request
    content = _apart(parts) if isinstance(asked, ASGIRequest) else parts
    return StreamingHttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def _texts(columns: Sequence[str], pages: Iterator[Iterable[Sequence[Any]]]) -> Iterator[str]:
    yield _lines([columns])
    for page in pages:
        yield _lines(page)


async def _apart(parts: Iterator[str]) -> AsyncIterator[str]:
    def following() -> str | None:
        return next(parts, None)

    while (part := await sync_to_async(following)()) is not None:
        yield part


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([neutral(cell) for cell in row] for row in rows)
    return text.getvalue()
