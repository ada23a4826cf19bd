"""Tokens from an older system: all or nothing, again and again, and never over something newer."""

import io
import json
import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from integrations.actor import SYSTEM
from integrations.models import Activity
from oauth import flow, services
from oauth.models import Grant, Token, TokenEvent
from oauth.services import importing

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC).replace(microsecond=0)


def line(slug: str = "zoho-crm", **fields) -> dict:
    return {
        "slug": slug, "access_token": f"1000.access-{slug}", "refresh_token": f"1000.refresh-{slug}",
        "expires_at": (NOW + timedelta(minutes=30)).isoformat(), "scope": "ZohoCRM.modules.ALL", **fields,
    }  # fmt: skip


def lines(*entries: dict) -> bytes:
    return b"\n".join(json.dumps(entry).encode() for entry in entries) + b"\n"


def take(*entries: dict, **options) -> list[bool]:
    return [one.taken for one in importing.take(lines(*entries), actor=SYSTEM, **options)]


def everything() -> list:
    return [list(model.objects.order_by("pk").values()) for model in (Token, Grant, TokenEvent, Activity)]


def tokens_of(slug: str) -> tuple[str, str]:
    token = Token.objects.get(integration__slug=slug)
    return token.access_token(), token.refresh_token()


def test_tokens_are_taken_over_and_serve_at_once(registry):
    assert take(line(), line("zoho-desk")) == [True, True]
    assert services.access_token(registry["zoho-crm"]) == "1000.access-zoho-crm"
    token = Token.objects.select_related("grant").get(integration__slug="zoho-crm")
    assert token.refresh_token() == "1000.refresh-zoho-crm"
    assert (token.expires_at, token.issued_at) == (NOW + timedelta(minutes=30), NOW - timedelta(minutes=30))
    assert (token.scope, token.grant.state) == ("ZohoCRM.modules.ALL", "connected")
    assert TokenEvent.objects.filter(kind="connected", detail__startswith="Imported").count() == 2
    told = Activity.objects.filter(action="oauth_imported")
    assert {row.integration_slug for row in told} == {"zoho-crm", "zoho-desk"}
    assert "1000." not in json.dumps([row.details for row in told])


def test_the_same_file_twice_changes_nothing(registry):
    content = (line(), line("zoho-desk"), line("zoho-sign", refresh_token="1000.refresh-zoho-crm"),
               line("zoho-billing", refresh_token=None))  # fmt: skip
    assert take(*content) == [True] * 4
    before = everything()
    assert take(*content) == [False] * 4
    assert everything() == before


def test_a_dry_run_says_the_same_and_stores_nothing(registry):
    before = everything()
    assert take(line(), dry_run=True) == [True]
    assert everything() == before


def test_integrations_with_one_refresh_token_share_its_grant_and_the_newest_access_token(registry):
    same = "1000.refresh-of-both"
    late = (NOW + timedelta(minutes=50)).isoformat()
    take(line("zoho-crm", refresh_token=same), line("zoho-sign", refresh_token=same, expires_at=late))
    assert Grant.objects.count() == 1
    assert tokens_of("zoho-crm") == tokens_of("zoho-sign") == ("1000.access-zoho-sign", same)


def test_who_joins_a_grant_gets_what_its_holders_have_now(registry):
    now = timezone.now()
    renewed = flow.Tokens(
        access_token="1000.renewed", refresh_token="1000.refresh-zoho-crm", issued_at=now,
        expires_at=now + timedelta(hours=1),
    )  # fmt: skip
    services.connect(registry["zoho-crm"], renewed, actor=SYSTEM)
    generation = Grant.objects.get().generation
    assert take(line(), line("zoho-sign", refresh_token="1000.refresh-zoho-crm")) == [False, True]
    assert tokens_of("zoho-sign") == tokens_of("zoho-crm") == ("1000.renewed", "1000.refresh-zoho-crm")
    assert Grant.objects.get().generation == generation


@pytest.mark.parametrize(("minutes", "taken"), [(-1, False), (0, False), (1, True)])
def test_what_was_stored_later_than_the_file_says_stays(registry, minutes, taken):
    stored = NOW + timedelta(minutes=30)
    given = flow.Tokens(access_token="ours", refresh_token="our refresh", issued_at=NOW, expires_at=stored)
    services.connect(registry["zoho-crm"], given, actor=SYSTEM)
    assert take(line(expires_at=(stored + timedelta(minutes=minutes)).isoformat())) == [taken]
    assert (tokens_of("zoho-crm") == ("ours", "our refresh")) is not taken
    assert Grant.objects.count() == 1


def test_what_was_revoked_since_is_not_brought_back(registry):
    take(line())
    Token.objects.update(access_sealed="", refresh_sealed="", expires_at=None)
    Grant.objects.update(state="revoked", updated_at=timezone.now())
    assert take(line()) == [False]
    assert take(line(refresh_token="1000.a-later-one")) == [False]
    Grant.objects.update(updated_at=NOW - timedelta(hours=2))
    assert take(line(refresh_token="1000.a-later-one")) == [True]
    assert Grant.objects.get().state == "connected"


def test_a_grant_that_the_provider_called_dead_is_not_brought_back(registry):
    take(line())
    Grant.objects.update(state="needs_reauth", updated_at=NOW - timedelta(days=1))
    assert take(line(expires_at=(NOW + timedelta(hours=3)).isoformat())) == [False]
    assert Grant.objects.get().state == "needs_reauth"


CANARY = "1000.CANARY-in-a-bad-line"
BAD = [
    (b'{"slug": "zoho-crm", "access_token": "1000.CANARY-in-a-bad-line', "no JSON"),
    (b'"1000.CANARY-in-a-bad-line"', "no JSON object"),
    (b"\xff1000.CANARY-in-a-bad-line", "not UTF-8"),
    (b"[" * 100_000, "nested too deeply"),
    (lines(line(access_token="")), "access_token is missing"),
    (lines(line(slug=CANARY)), "names no integration; those with OAuth are zoho-billing, zoho-crm"),
    (lines(line(slug="netcash", access_token=CANARY)), "netcash uses no OAuth"),
    (lines(line(access_token=[CANARY])), "access_token is no text"),
    (lines(line(access_token=CANARY + "\x00")), "access_token has characters"),
    (lines(line(refresh_token=CANARY * 1000)), "longer than 8,192"),
    (lines(line(expires_at=CANARY)), "no time with its zone"),
    (lines(line(expires_at="2026-11-23T12:00:00")), "no time with its zone"),
    (lines(line(expires_at="0001-01-01T00:00:00+14:00")), "no time with its zone"),
    (lines({**line(), CANARY: 1}), "a field that is none of"),
    (b'{"slug": "zoho-crm", "slug": "1000.CANARY-in-a-bad-line"}', "a field twice"),
]


@pytest.mark.parametrize(("bad", "words"), BAD)
def test_one_bad_line_stops_everything_and_is_named_without_its_content(registry, bad, words, tmp_path, capsys):
    file = tmp_path / "tokens.jsonl"
    file.write_bytes(lines(line("zoho-desk")) + b"\n" + bad)
    file.chmod(0o600)
    with pytest.raises(CommandError, match=r"^Nothing was imported\.$"):
        call_command("import_oauth_tokens", str(file))
    told = capsys.readouterr().err
    assert told.startswith("Line 3: ")
    assert words in told
    assert "CANARY" not in told
    assert not Token.objects.exists()


def test_every_bad_line_is_told_at_once(registry):
    with pytest.raises(importing.Refused) as refusal:
        importing.take(lines(line(), {}, line(), line(access_token=None)), actor=SYSTEM)
    assert [text[:7] for text in refusal.value.lines] == ["Line 2:", "Line 3:", "Line 4:"]
    assert "stands in line 1 already" in refusal.value.lines[1]
    with pytest.raises(importing.Refused, match="nothing in it"):
        importing.take(b"\n\n", actor=SYSTEM)


def test_nothing_is_stored_when_storing_fails_half_way(registry, monkeypatch):
    def fail(**_) -> None:
        raise RuntimeError

    monkeypatch.setattr(importing.activity, "record", fail)
    with pytest.raises(RuntimeError):
        take(line(), line("zoho-desk"))
    assert not Token.objects.exists()
    assert not Grant.objects.exists()


def test_the_command_warns_of_a_file_that_everybody_can_read(registry, tmp_path, capsys):
    file = tmp_path / "tokens.jsonl"
    file.write_bytes(lines(line()))
    file.chmod(0o644)
    call_command("import_oauth_tokens", str(file), "--dry-run")
    told = capsys.readouterr()
    assert "chmod 600" in told.err
    assert told.out == "Line 1: zoho-crm imported.\n1 of 1 would be imported.\n"
    file.chmod(0o600)
    call_command("import_oauth_tokens", str(file))
    assert capsys.readouterr().err == ""
    with pytest.raises(CommandError, match="can't be read"):
        call_command("import_oauth_tokens", str(tmp_path / "none"))


def test_the_command_reads_standard_input(registry, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(line()))))
    call_command("import_oauth_tokens", "-")
    assert tokens_of("zoho-crm") == ("1000.access-zoho-crm", "1000.refresh-zoho-crm")
