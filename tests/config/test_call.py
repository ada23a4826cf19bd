"""`manage.py call`, as people type it."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from integrations.clients.operations import OPERATIONS
from integrations.models import Activity, Integration
from integrations.sandbox.server import Sandbox
from oauth import services as oauth

pytestmark = pytest.mark.django_db
SMS = ["clickatell", "send_sms", "to=27820000001", "text=It works."]


def run(*typed: str) -> str:
    out = StringIO()
    call_command("call", *typed, stdout=out)
    return out.getvalue()


def refused(*typed: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        run(*typed)
    return caught.value


@pytest.mark.parametrize("slug", list(OPERATIONS))
def test_without_an_operation_it_lists_them_with_their_arguments(slug: str) -> None:
    listed = run(slug)
    for operation in OPERATIONS[slug]:
        changes = "  (changes something: --yes)" if operation.changes else ""
        assert f"{operation.name}{changes}\n" in listed
        assert all(f"    {argument.name}={argument.shown}" in listed for argument in operation.arguments())
        assert operation.words.splitlines()[0] in listed


def test_an_operation_is_called_and_its_result_printed_as_json(sandbox: Sandbox) -> None:
    (domain,) = json.loads(run("resend", "domains"))
    assert domain["name"] == "example.com"
    assert not Activity.objects.filter(action="api_called").exists()  # it only read


def test_an_integration_with_oauth_brings_its_token(sandbox: Sandbox, registry: dict[str, Integration]) -> None:
    oauth.connect_sandbox(registry["zoho-crm"])
    page = json.loads(run("zoho-crm", "search", "module=Leads", "email=lerato.dlamini@example.com"))
    assert page["rows"][0]["Last_Name"] == "Dlamini"


def test_what_changes_something_needs_a_yes_and_is_written_down(sandbox: Sandbox) -> None:
    error = refused(*SMS)
    assert (error.returncode, str(error)) == (2, "send_sms changes something at the provider: add --yes.")
    assert sandbox.requests("clickatell") == {}
    assert len(json.loads(run(*SMS, "--yes"))) == 32
    entry = Activity.objects.get(action="api_called")
    assert (entry.username, entry.outcome, entry.integration_slug) == ("command line", "success", "clickatell")
    assert entry.details == {"operation": "send_sms"}  # and nothing of what was said to whom


def test_what_failed_to_change_something_is_written_down_too(sandbox: Sandbox) -> None:
    sandbox.set_fault("clickatell", "refuse")
    error = refused(*SMS, "--yes")
    assert error.returncode == 1
    assert str(error).startswith("Clickatell SMS: HTTP 401: ")
    assert str(error).endswith("[credentials_refused: 108; trying again won't help]")
    entry = Activity.objects.get(action="api_called")
    assert (entry.outcome, entry.details["operation"]) == ("failure", "send_sms")
    assert "HTTP 401" in entry.details["reason"]


def test_an_interrupted_call_is_written_down(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("integrations.http.send", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(*SMS, "--yes")
    assert Activity.objects.get(action="api_called").details["reason"] == "it was interrupted"


def test_a_provider_that_may_come_back_is_told_apart(sandbox: Sandbox) -> None:
    sandbox.set_fault("didit-kyc", "throttle")
    error = refused("didit-kyc", "balance")
    assert error.returncode == 1
    assert "Nobody calls it for 30 s." in str(error)
    assert str(error).endswith("[throttled; trying again later may help]")


def test_an_integration_that_was_never_connected_says_so(sandbox: Sandbox) -> None:
    error = refused("zoho-desk", "tickets")
    assert (error.returncode, "Zoho Desk was never connected" in str(error)) == (1, True)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["nobody"], "'nobody' has no client. There are: zoho-crm,"),
        (["resend", "fly"], "resend has no operation 'fly'. There are: send_email,"),
        (["resend", "email", "colour=red"], "'colour=red' is no argument of email: id."),
        (["resend", "domains", "id=1"], "'id=1' is no argument of domains: none."),
        (["resend", "email", "id"], "'id' is no argument of email: id."),
        (["resend", "email", "id=1", "id=2"], "id is given twice."),
        (["resend", "email"], "email also needs id."),
        (["mtn-coverage", "covered", "latitude=x", "longitude=28"], "latitude: 'x' is not a number."),
        (["resend", "domains", "--output", "/nowhere/x"], "/nowhere/x is there already, or its folder isn't."),
    ],
)
def test_wrong_usage_is_said_in_words(sandbox: Sandbox, typed: list[str], words: str) -> None:
    error = refused(*typed)
    assert error.returncode == 2
    assert str(error).startswith(words)


def test_a_file_that_comes_back_is_kept_where_it_is_wanted(
    sandbox: Sandbox, registry: dict[str, Integration], tmp_path: Path
) -> None:
    oauth.connect_sandbox(registry["zoho-sign"])
    target = tmp_path / "signed.pdf"
    assert json.loads(run("zoho-sign", "pdf", "id=222008000000016075"))["bytes"] > 50
    assert f"{target}: " in run("zoho-sign", "pdf", "id=222008000000016075", "--output", str(target))
    assert target.read_bytes().startswith(b"%PDF")
    error = refused("zoho-sign", "pdf", "id=222008000000016075", "--output", str(target))
    assert error.returncode == 2
    run("resend", "domains", "--output", str(tmp_path / "domains.json"))
    assert json.loads((tmp_path / "domains.json").read_text())[0]["status"] == "verified"


def test_what_a_provider_wrote_can_not_steer_a_terminal(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        __import__("integrations.sandbox.apis.resend", fromlist=["_DOMAIN"])._DOMAIN, "name", "Zoë\x1b[2J\x9b2J\u202e"
    )
    printed = run("resend", "domains")
    assert "Zoë" in printed
    assert not {"\x1b", "\x9b", "\u202e"} & set(printed)


def test_the_help_explains_values_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        call_command("call", "--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "Exit code 0: done. 1: the provider said no, or nothing. 2: wrong usage." in text
    assert "send_sms to=27820000000" in text
