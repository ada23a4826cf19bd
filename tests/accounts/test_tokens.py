"""API tokens: made on a page or by a command, shown once, confined in what they may and where, revoked at once."""

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from integrations import ids, permissions
from integrations.accounts import tokens
from integrations.accounts.models import ApiToken, User
from integrations.actor import Actor
from integrations.models import Activity, Integration
from integrations.permissions import Perm

PAGE = "/admin/integrations/account/tokens"
API = "/api/admin/integrations"
READ = Perm.READ.public_name

pytestmark = pytest.mark.django_db


def asked(**given: Any) -> dict[str, Any]:
    return {"id": str(ids.new()), "name": "Grafana", "scopes": [READ], "days": "90"} | given


def shown(html: str) -> str:
    found = re.search(r'id="token">(cti_[\w-]+)<', html)
    return found[1] if found else ""


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def made(user: User, **given: Any) -> str:
    fields: dict[str, Any] = {"name": "x", "scopes": [], "only_on": [], "days": 30} | given
    return tokens.make(user=user, actor=Actor(username="test"), now=timezone.now(), **fields)[1]


# --- Made, shown once ------------------------------------------------------------------------------------------------


def test_it_is_shown_by_the_answer_that_makes_it_and_never_again(client: Client, alice: User) -> None:
    client.force_login(alice)
    answer = client.post(PAGE, asked())
    token = shown(answer.content.decode())
    assert "no-store" in answer["Cache-Control"]
    assert Client().get(API, headers=bearer(token)).status_code == 200
    later = client.get(PAGE).content.decode()
    assert token not in later
    assert "Grafana" in later
    row = ApiToken.objects.get()
    assert token not in (row.digest, row.hint)
    assert timedelta(days=89) < row.expires_at - timezone.now() <= timedelta(days=90)  # type: ignore[operator]
    entry = Activity.objects.get(action="api_token_created")
    assert (entry.username, entry.details["for"], entry.details["scopes"]) == ("alice", "alice", [READ])
    assert token not in str(entry.details)


def test_the_same_form_sent_again_makes_no_second(client: Client, alice: User) -> None:
    client.force_login(alice)
    form = asked()
    client.post(PAGE, form)
    again = client.post(PAGE, form)
    assert again.status_code == 409
    assert "It was made already" in again.content.decode()
    assert shown(again.content.decode()) == ""
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"days": "3650"},
        {"scopes": ["integrations:everything"]},
        {"integrations": ["nowhere"]},
        {"id": "x"},
    ],
)
def test_what_is_wrong_makes_none_and_is_said(client: Client, alice: User, wrong: dict[str, Any]) -> None:
    client.force_login(alice)
    assert client.post(PAGE, asked(**wrong)).status_code == 422
    assert not ApiToken.objects.exists()


def test_nobody_hands_on_more_than_they_have(client: Client, bob: User, registry: dict[str, Integration]) -> None:
    client.force_login(bob)  # may read, and nothing else
    assert client.post(PAGE, asked(scopes=[Perm.MANAGE.public_name])).status_code == 422
    token = shown(client.post(PAGE, asked(scopes=[])).content.decode())
    assert Client().get(API, headers=bearer(token)).status_code == 200
    assert Client().post(f"{API}/health/resend/check", headers=bearer(token)).status_code == 403


def test_there_is_an_end_to_them(client: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST", 1)
    client.force_login(alice)
    client.post(PAGE, asked())
    answer = client.post(PAGE, asked())
    assert (answer.status_code, ApiToken.objects.count()) == (409, 1)
    assert "1 tokens live already" in answer.content.decode()


# --- Confined to integrations ----------------------------------------------------------------------------------------


def test_on_one_integration_nothing_of_the_others_is_seen(
    alice: User, registry: dict[str, Integration], client: Client
) -> None:
    token = made(alice, only_on=["resend"])
    listed = client.get(API, headers=bearer(token)).json()["integrations"]
    assert [row["slug"] for row in listed] == ["resend"]
    assert client.get(f"{API}/zoho-crm", headers=bearer(token)).status_code == 404
    hooks = client.get(f"{API}/webhooks", headers=bearer(token)).json()["webhooks"]
    assert {hook["webhookUrl"] for hook in hooks} == {"/api/webhooks/resend"}
    jobs = client.get(f"{API}/cron", headers=bearer(token)).json()["jobs"]
    assert jobs == []  # they are of all, or of another


def test_a_superusers_token_is_confined_like_any_other(registry: dict[str, Integration], person: Any) -> None:
    boss = person("boss", is_superuser=True)
    permissions.limit(boss, [], on=["resend"])
    assert not permissions.may(boss, Perm.MANAGE)
    assert permissions.may(boss, Perm.MANAGE, registry["resend"])
    assert not permissions.may(boss, Perm.MANAGE, registry["netcash"])
    assert set(permissions.visible(boss)) == {registry["resend"]}


def test_one_that_was_removed_leaves_nothing_open(
    alice: User, client: Client, registry: dict[str, Integration]
) -> None:
    Integration.objects.create(slug="gone", name="Gone", provider="Acme", category="crm")
    token = made(alice, only_on=["gone"])
    Integration.objects.filter(slug="gone").delete()
    answer = client.get(API, headers=bearer(token))
    assert answer.status_code == 403 or answer.json()["integrations"] == []


def test_a_grant_on_one_stays_a_grant_on_one(person: Any, registry: dict[str, Integration], client: Client) -> None:
    dana = person("dana")
    for slug in ("resend", "netcash"):
        assign_perm(Perm.READ.django_name, dana, registry[slug])
    token = made(dana, only_on=["resend", "zoho-crm"])
    listed = client.get(API, headers=bearer(token)).json()["integrations"]
    assert [row["slug"] for row in listed] == ["resend"]


# --- Revoked ---------------------------------------------------------------------------------------------------------


def test_revoking_ends_it_with_the_next_request(client: Client, alice: User) -> None:
    client.force_login(alice)
    token = made(alice, name="Grafana")
    row = ApiToken.objects.get()
    answer = client.post(f"{PAGE}/{row.pk}/revoke", follow=True)
    assert "Grafana: revoked" in answer.content.decode()
    assert Client().get(API, headers=bearer(token)).status_code == 401
    assert Activity.objects.get(action="api_token_revoked").details["name"] == "Grafana"
    again = client.post(f"{PAGE}/{row.pk}/revoke", follow=True)
    assert "Nothing to revoke" in again.content.decode()


def test_nobody_revokes_or_sees_those_of_others(client: Client, alice: User, bob: User) -> None:
    token = made(alice, name="Alices own")
    client.force_login(bob)
    assert "Alices own" not in client.get(PAGE).content.decode()
    client.post(f"{PAGE}/{ApiToken.objects.get().pk}/revoke")
    assert Client().get(API, headers=bearer(token)).status_code == 200


def test_what_ended_stands_in_the_list_for_a_month(alice: User) -> None:
    now = timezone.now()
    for days in (1, 40):
        made(alice, name=f"ended {days} days ago")
        ApiToken.objects.filter(name=f"ended {days} days ago").update(expires_at=now - timedelta(days=days))
    made(alice, name="alive")
    assert [(line.token.name, line.status) for line in tokens.of(alice, now=now)] == [
        ("alive", "alive"), ("ended 1 days ago", "expired"),
    ]  # fmt: skip


# --- The command -----------------------------------------------------------------------------------------------------


def test_the_command_confines_to_integrations_too(
    alice: User, registry: dict[str, Integration], client: Client
) -> None:
    out = StringIO()
    call_command("create_api_token", "alice", "--on", "resend", stdout=out)
    assert client.get(f"{API}/netcash", headers=bearer(out.getvalue().strip())).status_code == 404
    with pytest.raises(CommandError, match="There is no integration nowhere"):
        call_command("create_api_token", "alice", "--on", "nowhere")
