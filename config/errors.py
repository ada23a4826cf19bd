"""Error reports without values. Django's pages for DEBUG show each variable of each frame, and somewhere in them lies
a token, a client secret or a payload; ours say what is there by name and type. The way of the error shows whole."""

import re
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter


class Type:
    """Stands for a value that isn't shown."""

    def __init__(self, value: object) -> None:
        self._name = type(value).__name__

    def __repr__(self) -> str:
        return f"<{self._name}>"


class Filter(SafeExceptionReporterFilter):
    """Active with DEBUG too. Of settings and headers it also hides addresses, which may carry a password or a code."""

    hidden_settings = re.compile(
        "API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|COOKIE|URL|URI|REFERER|QUERY|SANDBOX|DATABASES|CACHES|LOCATION|ALERT_"
        "|EMAIL_HOST_USER",
        re.IGNORECASE,
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        return dict.fromkeys(request.POST, self.cleansed_substitute) if request is not None else {}

    def get_safe_cookies(self, request: HttpRequest) -> dict[str, Any]:
        return dict.fromkeys(getattr(request, "COOKIES", {}), self.cleansed_substitute)

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        return [(name, Type(value)) for name, value in tb_frame.f_locals.items()]


class Reporter(ExceptionReporter):
    """Nor does it show a query: an authorisation server sends its code in one."""

    def get_traceback_data(self) -> dict[str, Any]:
        data = super().get_traceback_data()
        if self.request is not None:
            hidden = self.filter.cleansed_substitute
            data["request_GET_items"] = [(name, hidden) for name in self.request.GET]
            data["request_insecure_uri"] = data["request_insecure_uri"].partition("?")[0]
        return data
