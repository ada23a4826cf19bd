"""The providers' documented ways of saying no, by their own words: each can be set like a fault (`faults.py`).

Where a source names only the word (PROVIDERS), the rest is invented. Those that nothing has to be told to do, a wrong
key or a missing field, are in `apis/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from integrations.providers.spec import Json
from integrations.sandbox.wire import Reply, answer, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One answer: `content` is JSON, or the text of an XML document."""

    status: int
    content: Json

    def reply(self) -> Reply:
        if isinstance(self.content, str):
            return text(self.content, "application/vnd.ogc.se_xml", self.status)
        return answer(self.content, self.status)


def _crm(code: str, status: int, message: str) -> Shape:
    return Shape(status=status, content={"code": code, "details": {}, "message": message, "status": "error"})


def _sign(code: int, message: str) -> Shape:
    return Shape(status=200, content={"code": code, "message": message, "status": "failure"})


def _billing(code: int, status: int, message: str) -> Shape:
    return Shape(status=status, content={"code": code, "message": message})


def _desk(code: str, status: int, message: str) -> Shape:
    return Shape(status=status, content={"errorCode": code, "message": message})


def _resend(name: str, status: int, message: str) -> Shape:
    return Shape(status=status, content={"statusCode": status, "name": name, "message": message})


def _google(status: str) -> Shape:
    return Shape(status=200, content={"status": status, "error_message": "As the sandbox was told.", "results": []})


def _places(status: int, code: str) -> Shape:
    error = {"code": status, "message": "As the sandbox was told.", "status": code, "details": []}
    return Shape(status=status, content={"error": error})


def _exception(code: str, words: str) -> Shape:
    report = f'<ServiceException code="{code}">{words}</ServiceException>'
    return Shape(status=200, content=f'<ServiceExceptionReport version="1.1.1">{report}</ServiceExceptionReport>')


_RECORD = {"code": "DUPLICATE_DATA", "details": {"api_name": "Email"}, "message": "duplicate data", "status": "error"}

SHAPES: Mapping[str, Mapping[str, Shape]] = {
    "zoho-crm": {
        "DUPLICATE_DATA": Shape(status=202, content={"data": [_RECORD]}),
        "OAUTH_SCOPE_MISMATCH": _crm("OAUTH_SCOPE_MISMATCH", 401, "invalid oauth scope to access this URL"),
        "NO_PERMISSION": _crm("NO_PERMISSION", 403, "permission denied to read the record"),
        "INVALID_QUERY": _crm("INVALID_QUERY", 400, "column given seems to be invalid"),
        "LIMIT_EXCEEDED": _crm("LIMIT_EXCEEDED", 400, "limit should not exceed 200"),
    },
    "zoho-sign": {
        "8026": _sign(8026, "Upgrade your license to use this feature"),
        "9018": _sign(9018, "Extra or missing parameter found"),
        "9020": _sign(9020, "Invalid value for a parameter"),
        "9101": _sign(9101, "Add at least one field for the signer"),
        "12008": _sign(12008, "Document has already been submitted"),
    },
    "zoho-billing": {
        "1002": _billing(1002, 200, "The plan does not exist."),
        "57": _billing(57, 401, "You are not authorized to perform this operation"),
        "45": _billing(45, 429, "You have exceeded the maximum number of API calls for the day."),
        "1070": _billing(1070, 429, "Too many concurrent requests."),
    },
    "zoho-desk": {
        "INVALID_DATA": _desk("INVALID_DATA", 422, "The data is invalid due to validation restrictions"),
        "SCOPE_MISMATCH": _desk("SCOPE_MISMATCH", 403, "The OAuth scope does not fit."),
        "TOO_MANY_REQUESTS": _desk("TOO_MANY_REQUESTS", 429, "Too many concurrent requests."),
    },
    "didit-kyc": {
        "no_credits": Shape(status=403, content={"detail": "You don't have enough credits to perform this request."}),
        "fields": Shape(status=400, content={"workflow_id": ["This workflow does not exist."]}),
    },
    "netcash": {
        "null": Shape(status=200, content=None),
    },
    "mtn-coverage": {
        "LayerNotDefined": _exception("LayerNotDefined", "Could not find layer"),
        "NoApplicableCode": _exception("NoApplicableCode", "java.lang.NullPointerException"),
    },
    "clickatell": {
        "301": Shape(status=202, content={"messages": [], "error": {"code": 301, "description": "No credit left."}}),
    },
    "resend": {
        "validation_error": _resend("validation_error", 422, "Invalid `to` field."),
        "missing_api_key": _resend("missing_api_key", 401, "Missing API key in the authorization header."),
        "restricted_api_key": _resend("restricted_api_key", 401, "This API key is restricted to only send emails."),
        "daily_quota_exceeded": _resend("daily_quota_exceeded", 429, "You have reached your daily quota."),
        "monthly_quota_exceeded": _resend("monthly_quota_exceeded", 429, "You have reached your monthly quota."),
    },
    "google-maps": {
        "OVER_DAILY_LIMIT": _google("OVER_DAILY_LIMIT"),
        "OVER_QUERY_LIMIT": _google("OVER_QUERY_LIMIT"),
        "REQUEST_DENIED": _google("REQUEST_DENIED"),
        "INVALID_REQUEST": _google("INVALID_REQUEST"),
        "UNKNOWN_ERROR": _google("UNKNOWN_ERROR"),
        "PERMISSION_DENIED": _places(403, "PERMISSION_DENIED"),
        "RESOURCE_EXHAUSTED": _places(429, "RESOURCE_EXHAUSTED"),
    },
}  # fmt: skip
