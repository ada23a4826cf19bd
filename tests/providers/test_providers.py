"""The ten, as the specification lists them."""

from collections.abc import Mapping
from dataclasses import asdict

import pytest
from lucide.templatetags.lucide import lucide

from integrations import checks, credentials, providers
from integrations.models import RESERVED_SLUGS, Category
from integrations.providers import PROVIDERS
from integrations.providers.spec import ApiKey, Probe, Provider
from webhooks.models import Webhook as WebhookRow

SPECIFIED = [
    ("zoho-crm", "Zoho CRM", "crm", "Zoho", True, "/api/webhooks/zoho/crm"),
    ("zoho-sign", "Zoho Sign", "crm", "Zoho", True, "/api/webhooks/zoho/sign"),
    ("zoho-billing", "Zoho Billing", "payment", "Zoho", True, "/api/webhooks/zoho/billing"),
    ("zoho-desk", "Zoho Desk", "communication", "Zoho", True, "/api/webhooks/zoho/desk"),
    ("didit-kyc", "Didit KYC", "kyc", "Didit", False, "/api/webhooks/didit/kyc"),
    ("netcash", "NetCash Pay Now", "payment", "NetCash", False, "/api/webhooks/netcash"),
    ("mtn-coverage", "MTN Coverage", "coverage", "MTN", False, None),
    ("clickatell", "Clickatell SMS", "communication", "Clickatell", False, "/api/webhooks/clickatell"),
    ("resend", "Resend Email", "communication", "Resend", False, "/api/webhooks/resend"),
    ("google-maps", "Google Maps", "location", "Google", False, None),
]
BASE_URLS = {
    "zoho-crm": ("ZOHO_API_URL", "https://www.zohoapis.com"),
    "zoho-sign": ("ZOHO_SIGN_URL", "https://sign.zoho.com"),
    "zoho-billing": ("ZOHO_API_URL", "https://www.zohoapis.com"),
    "zoho-desk": ("ZOHO_DESK_URL", "https://desk.zoho.com"),
    "didit-kyc": ("DIDIT_API_URL", "https://verification.didit.me"),
    "netcash": ("NETCASH_WS_URL", "https://ws.netcash.co.za"),
    "mtn-coverage": ("MTN_WMS_URL", "https://mtnsi.mtn.co.za/cache/geoserver/wms"),
    "clickatell": ("CLICKATELL_API_URL", "https://platform.clickatell.com"),
    "resend": ("RESEND_API_URL", "https://api.resend.com"),
    "google-maps": ("GOOGLE_MAPS_URL", "https://maps.googleapis.com"),
}
ZOHO = ("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET")
CREDENTIALS = {
    "zoho-crm": (*ZOHO, "ZOHO_CRM_WEBHOOK_TOKEN"),
    "zoho-sign": (*ZOHO, "ZOHO_SIGN_WEBHOOK_SECRET"),
    "zoho-billing": (*ZOHO, "ZOHO_BILLING_WEBHOOK_SECRET"),
    "zoho-desk": (*ZOHO, "ZOHO_ORG_ID"),
    "didit-kyc": ("DIDIT_API_KEY", "DIDIT_WEBHOOK_SECRET"),
    "netcash": ("NETCASH_SERVICE_KEY", "NETCASH_WEBHOOK_SECRET"),
    "mtn-coverage": (),
    "clickatell": ("CLICKATELL_API_KEY", "CLICKATELL_WEBHOOK_SECRET"),
    "resend": ("RESEND_API_KEY", "RESEND_WEBHOOK_SECRET"),
    "google-maps": ("GOOGLE_MAPS_API_KEY",),
}

every_provider = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.slug)


def test_the_ten_are_as_specified_and_in_that_order() -> None:
    declared = [
        (p.slug, p.name, p.category, p.vendor, p.oauth is not None, p.webhook.path if p.webhook else None)
        for p in PROVIDERS
    ]
    assert declared == SPECIFIED


def test_a_provider_is_found_by_its_slug() -> None:
    assert all(providers.get(provider.slug) is provider for provider in PROVIDERS)
    assert providers.get("nobody") is None


@every_provider
def test_base_url_and_credentials_have_the_specified_names(provider: Provider) -> None:
    assert (provider.base_url_env, provider.base_url) == BASE_URLS[provider.slug]
    webhook = (provider.webhook.secret_env,) if provider.webhook else ()
    assert (*credentials.names(provider), *webhook) == CREDENTIALS[provider.slug]
    assert all(map(credentials.allowed, (*CREDENTIALS[provider.slug], *provider.settings)))


@every_provider
def test_slug_category_and_icon_can_be_used(provider: Provider) -> None:
    assert provider.slug not in RESERVED_SLUGS
    assert provider.category in Category.values
    assert "<svg" in lucide(provider.icon)


@every_provider
def test_the_webhooks_method_is_one_that_rows_know(provider: Provider) -> None:
    assert provider.webhook is None or provider.webhook.method in WebhookRow.Method.values


def test_the_system_check_finds_nothing_wrong() -> None:
    assert checks.declared_providers_are_sound() == []


@every_provider
def test_there_is_a_probe_or_a_rhythm_to_judge_health_by(provider: Provider) -> None:
    assert (provider.probe is None) == (provider.silence_hours > 0)
    if provider.probe:
        assert provider.probe.endpoint or provider.probe.path.startswith("/")
        assert provider.probe.timeout_s <= 10


def test_probes_are_the_documented_ones() -> None:
    assert {p.slug: p.probe.endpoint or p.probe.path for p in PROVIDERS if p.probe} == {
        "zoho-crm": "/crm/v8/org",
        "zoho-sign": "/api/v1/requests",
        "zoho-billing": "/billing/v1/organizations",
        "zoho-desk": "/api/v1/organizations",
        "didit-kyc": "/v3/billing/balance/",
        "mtn-coverage": "GetFeatureInfo",
        "clickatell": "/v1/balance",
        "resend": "/domains",
        "google-maps": "/maps/api/geocode/json",
    }


def test_only_what_is_billed_is_checked_more_rarely() -> None:
    rarely = {provider.slug: provider.check_minutes for provider in PROVIDERS if provider.check_minutes != 15}
    assert rarely == {"google-maps": 60}


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("didit-kyc", ApiKey(env="DIDIT_API_KEY", header="x-api-key")),
        ("clickatell", ApiKey(env="CLICKATELL_API_KEY", header="Authorization")),
        ("resend", ApiKey(env="RESEND_API_KEY", header="Authorization", prefix="Bearer ")),
        ("google-maps", ApiKey(env="GOOGLE_MAPS_API_KEY", query="key")),
    ],
)
def test_the_key_goes_where_the_provider_wants_it(slug: str, expected: ApiKey) -> None:
    provider = providers.get(slug)
    assert provider is not None
    assert provider.auth == expected


@pytest.mark.parametrize(
    ("slug", "header"), [("zoho-billing", "X-com-zoho-subscriptions-organizationid"), ("zoho-desk", "orgId")]
)
def test_the_organisation_is_named_in_a_header_once_it_is_known(slug: str, header: str) -> None:
    provider = providers.get(slug)
    assert provider is not None
    assert provider.headers is not None
    assert provider.settings == ("ZOHO_ORG_ID",)
    assert provider.headers({"ZOHO_ORG_ID": "42"}) == {header: "42"}
    assert provider.headers({"ZOHO_ORG_ID": "42, 43"}) == {header: "42"}
    assert provider.headers({"ZOHO_ORG_ID": ""}) == provider.headers({}) == {}


def test_a_probes_param_may_come_from_a_variable() -> None:
    probe = Probe(path="/", params={"layer": "a", "x": "1"}, params_env={"layer": "MTN_PROBE_LAYER"})
    values: Mapping[str, str] = {"MTN_PROBE_LAYER": "b"}
    assert probe.query(lambda name: values.get(name, "")) == {"layer": "b", "x": "1"}
    assert probe.query(lambda name: "") == {"layer": "a", "x": "1"}


@every_provider
def test_a_provider_is_data_through_and_through(provider: Provider) -> None:
    with pytest.raises(AttributeError):
        provider.name = "changed"  # type: ignore[misc]
    assert asdict(provider)["slug"] == provider.slug
