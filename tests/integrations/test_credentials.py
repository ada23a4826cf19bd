"""Where values come from."""

import pytest

from integrations import credentials, providers

RESEND = providers.get("resend")
MTN = providers.get("mtn-coverage")


@pytest.fixture
def sandbox(settings):
    settings.SANDBOX_URL = "http://127.0.0.1:9"
    settings.SANDBOX_VALUES = {"RESEND_API_KEY": "lent-key", "RESEND_WEBHOOK_SECRET": "lent-secret"}


@pytest.mark.parametrize(
    "name", ["SECRET_KEY", "ACTIVITY_KEY", "PATH", "resend_key", "RESEND_KEY;ls", "", "CRON_SECRET"]
)
def test_a_row_can_name_no_variable_but_a_providers(name, monkeypatch):
    monkeypatch.setenv(name or "X", "exposed")
    assert not credentials.allowed(name)
    assert credentials.value(name) == ""


def test_a_variable_may_hold_several_secrets(monkeypatch):
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", "whsec_new, whsec_old,")
    assert credentials.secrets("RESEND_WEBHOOK_SECRET") == ("whsec_new", "whsec_old")


def test_a_secret_may_lie_in_a_file_and_a_rotated_one_is_read_anew(monkeypatch, tmp_path):
    import os

    path = tmp_path / "secret"
    path.write_text("one\n")
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET_FILE", str(path))
    assert credentials.secrets("RESEND_WEBHOOK_SECRET") == ("one",)
    path.write_text("two\n")
    os.utime(path, (1, 1))
    assert credentials.secrets("RESEND_WEBHOOK_SECRET") == ("two",)


def test_without_a_sandbox_nothing_is_lent():
    assert credentials.value("RESEND_API_KEY") == ""
    assert credentials.missing(RESEND) == ("RESEND_API_KEY",)
    assert credentials.base_url(RESEND) == "https://api.resend.com"


def test_the_sandbox_stands_in_for_a_provider_without_credentials(sandbox):
    assert credentials.sandboxed(RESEND)
    assert credentials.base_url(RESEND) == "http://127.0.0.1:9/resend"
    assert credentials.missing(RESEND) == ()


def test_real_api_credentials_switch_the_sandbox_off_for_that_provider(sandbox, monkeypatch):
    monkeypatch.setenv("RESEND_API_KEY", "re_real")
    assert not credentials.sandboxed(RESEND)
    assert credentials.base_url(RESEND) == "https://api.resend.com"
    assert credentials.api_value(RESEND, "RESEND_API_KEY") == "re_real"
    assert credentials.sandboxed(MTN)


def test_a_real_webhook_secret_alone_does_not(sandbox, monkeypatch):
    monkeypatch.setenv("RESEND_WEBHOOK_SECRET", "whsec_real")
    assert credentials.sandboxed(RESEND)
    assert credentials.secrets("RESEND_WEBHOOK_SECRET") == ("whsec_real",)


def test_a_real_base_url_switches_it_off_too(sandbox, monkeypatch):
    monkeypatch.setenv("MTN_WMS_URL", "https://wms.example.com/")
    assert not credentials.sandboxed(MTN)
    assert credentials.base_url(MTN) == "https://wms.example.com"
