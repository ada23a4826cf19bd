"""The company's own sign-in, against a provider that listens, signs and checks."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group
from django.test import Client

from integrations.accounts.login import company
from integrations.accounts.models import ApiToken, User
from integrations.models import Activity
from tests.accounts import provider as providers
from tests.accounts.provider import Provider
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

LOGIN, START = "/accounts/login/", "/accounts/company/"


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    """Thandi, of the group noc, is signed in there."""
    with providers.running() as running:
        running.claims = {
            "sub": "u-17", "email": "thandi@example.com", "email_verified": True, "preferred_username": "thandi",
            "given_name": "Thandi", "family_name": "Example", "groups": ["noc", "everybody"],
        }  # fmt: skip
        settings.OIDC_ISSUER, settings.OIDC_ROLES = running.url, ["noc=IT Manager", "it-admins=Super Admin"]
        app = {
            "provider_id": "company", "name": "Example Ltd", "client_id": providers.CLIENT,
            "secret": providers.SECRET, "settings": {"server_url": running.url},
        }  # fmt: skip
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
        yield running


def come(client: Client, provider: Provider, *, then: str = "/admin/integrations/cron") -> Any:
    there = client.get(START, {"next": then})["Location"]
    assert there.startswith(provider.url)
    return client.get(provider.authorise(there).replace("http://testserver", ""))


def roles(user: User) -> list[str]:
    return sorted(user.groups.values_list("name", flat=True))


def test_who_is_new_is_made_with_the_roles_of_their_groups(client: Client, provider: Provider) -> None:
    assert come(client, provider)["Location"] == "/admin/integrations/cron"
    thandi = User.objects.get()
    assert (thandi.username, thandi.email, thandi.get_full_name()) == (
        "thandi",
        "thandi@example.com",
        "Thandi Example",
    )
    assert roles(thandi) == ["IT Manager"]
    assert not thandi.has_usable_password()
    assert client.get("/admin/integrations").status_code == 200
    entry = Activity.objects.get(action="login")
    assert (entry.username, entry.details) == ("thandi", {"by": ["company"]})
    assert Activity.objects.get(action="roles_followed").details["after"] == ["IT Manager"]
    assert provider.asked[0]["code_challenge_method"] == "S256"


def test_at_the_next_sign_in_roles_follow_the_groups(client: Client, provider: Provider, person: Any) -> None:
    come(client, provider)
    thandi = User.objects.get()
    provider.claims["groups"] = ["it-admins"]
    come(Client(), provider)
    assert roles(thandi) == ["Super Admin"]
    assert User.objects.count() == 1


def test_the_last_super_admin_keeps_the_role(client: Client, provider: Provider) -> None:
    provider.claims["groups"] = ["it-admins"]
    come(client, provider)
    thandi = User.objects.get()
    provider.claims["groups"] = ["noc"]
    come(Client(), provider)
    assert roles(thandi) == ["IT Manager", "Super Admin"]
    refused = Activity.objects.get(outcome="refused")
    assert refused.details["what"] == "taking the role Super Admin from thandi"
    other = User.objects.create_user("other", "other@example.com")
    other.groups.add(Group.objects.get(name="Super Admin"))
    come(Client(), provider)
    assert roles(thandi) == ["IT Manager"]


def test_a_role_that_is_not_of_the_company_stays(client: Client, provider: Provider, settings: Any) -> None:
    settings.OIDC_ROLES = ["noc=IT Manager"]
    come(client, provider)
    thandi = User.objects.get()

    thandi.groups.add(Group.objects.get(name="Operations Manager"))
    come(Client(), provider)
    assert roles(thandi) == ["IT Manager", "Operations Manager"]


@pytest.mark.parametrize("groups", [None, [], "sales", ["sales"], 7, [None, {}]])
def test_of_no_group_that_counts_means_no_way_in(client: Client, provider: Provider, groups: Any) -> None:
    provider.claims["groups"] = groups
    assert come(client, provider)["Location"] == LOGIN
    assert "None of your groups may come in here." in client.get(LOGIN).content.decode()
    assert not User.objects.exists()
    entry = Activity.objects.get(action="login")
    assert (entry.outcome, entry.details["why"]) == ("failure", "no_role")


def test_who_lost_their_group_is_out(client: Client, provider: Provider) -> None:
    come(client, provider)
    provider.claims["groups"] = []
    other = Client()
    assert come(other, provider)["Location"] == LOGIN
    assert other.get("/admin/integrations").status_code == 302


def test_whose_groups_are_gone_holds_nothing_behind_the_door_either(client: Client, provider: Provider) -> None:
    come(client, provider)
    thandi = User.objects.get()
    _row, token = ApiToken.issue(user=thandi, name="x", scopes=[], expires_at=None)
    provider.claims["groups"] = []
    come(Client(), provider)
    assert roles(thandi) == []
    assert client.get("/admin/integrations").status_code == 403
    bearer = {"Authorization": f"Bearer {token}"}
    assert Client().get("/api/admin/integrations", headers=bearer).status_code == 403


def test_what_opened_an_account_before_opens_it_no_more(client: Client, provider: Provider, person: Any) -> None:
    """Somebody may have made it in advance, for whoever the company lets in by it one day."""
    planted = person("tm")
    User.objects.filter(pk=planted.pk).update(email="thandi@example.com")
    _row, token = ApiToken.issue(user=planted, name="x", scopes=[], expires_at=None)
    TOTP.activate(planted, generate_totp_secret())
    inside = Client()
    inside.force_login(planted)
    provider.claims["groups"] = ["it-admins"]
    come(client, provider)
    assert roles(planted) == ["Super Admin"]
    assert client.get("/admin/integrations").status_code == 200
    assert inside.get("/admin/integrations").status_code == 302
    bearer = {"Authorization": f"Bearer {token}"}
    assert Client().get("/api/admin/integrations", headers=bearer).status_code == 401
    assert Client().post(LOGIN, {"login": "tm", "password": PASSWORD}).status_code == 200
    assert not Authenticator.objects.exists()
    assert Activity.objects.get(action="company_connected").details == {"for": "tm", "sessions": 1, "tokens": 1}


def test_nothing_is_hung_on_whoever_is_signed_in(client: Client, provider: Provider, person: Any) -> None:
    client.force_login(person("root", is_superuser=True, is_staff=True))
    there = client.get(START, {"process": "connect"})["Location"]
    client.get(provider.authorise(there).replace("http://testserver", ""))
    assert not SocialAccount.objects.exists()
    assert Activity.objects.filter(action="login", outcome="failure").exists()


def test_who_became_a_superuser_comes_this_way_no_more(client: Client, provider: Provider) -> None:
    come(client, provider)
    User.objects.update(is_superuser=True)
    other = Client()
    assert come(other, provider)["Location"] == LOGIN
    assert other.get("/django-admin/").status_code == 302
    assert Activity.objects.filter(action="login", outcome="failure").get().details["why"] == "superuser"


DANGEROUS = "/admin/integrations/people/add"


@pytest.mark.parametrize(
    ("ago", "tells", "fresh"), [(10, True, True), (3600, True, False), (-3600, True, False), (0, False, False)]
)
def test_fresh_is_who_signed_in_there_just_now_and_not_who_was_let_through(
    client: Client, provider: Provider, ago: int, tells: bool, fresh: bool
) -> None:
    provider.claims["groups"] = ["it-admins"]
    provider.signed_in_ago, provider.tells_when = ago, tells
    come(client, provider)
    assert (client.get(DANGEROUS).status_code == 200) is fresh


def test_proving_by_a_company_that_does_not_say_when_is_told(client: Client, provider: Provider) -> None:
    provider.claims["groups"], provider.tells_when = ["it-admins"], False
    come(client, provider)
    there = client.post("/accounts/prove/", {"company": "1", "next": DANGEROUS})["Location"]
    client.get(provider.authorise(there).replace("http://testserver", ""))
    assert {provider.asked[-1][name] for name in ("prompt", "max_age")} == {"login", "0"}
    assert "does not say when you signed in (auth_time)" in client.get("/accounts/prove/").content.decode()
    provider.tells_when = True
    there = client.post("/accounts/prove/", {"company": "1", "next": DANGEROUS})["Location"]
    client.get(provider.authorise(there).replace("http://testserver", ""))
    assert client.get(DANGEROUS).status_code == 200


def test_whom_we_know_by_a_verified_address_is_who_they_are(
    client: Client, provider: Provider, person: Callable[..., User]
) -> None:
    known = person("tm", role="Operations Manager")
    User.objects.filter(pk=known.pk).update(email="Thandi@Example.com")
    come(client, provider)
    assert SocialAccount.objects.get().user == known
    assert roles(known) == ["IT Manager", "Operations Manager"]


def test_an_address_that_is_not_verified_is_nobodys(client: Client, provider: Provider, person: Any) -> None:
    person("thandi", role="Super Admin")
    provider.claims["email_verified"] = False
    assert come(client, provider)["Location"] == LOGIN
    assert client.get("/admin/integrations").status_code == 302
    assert Activity.objects.get(action="login").details["why"] == "unverified_email"


def test_superusers_are_never_matched(client: Client, provider: Provider, person: Any) -> None:
    person("thandi", is_superuser=True, is_staff=True)
    assert come(client, provider)["Location"] == LOGIN
    assert client.get("/admin/integrations").status_code == 302
    assert Activity.objects.get(action="login").details["why"] == "superuser"


def test_a_name_that_is_taken_gets_a_number(client: Client, provider: Provider, person: Any) -> None:
    person("Thandi")
    User.objects.update(email="other@example.com")
    come(client, provider)
    assert set(User.objects.values_list("username", flat=True)) == {"Thandi", "thandi2"}


def test_the_disabled_stay_out(client: Client, provider: Provider) -> None:
    come(client, provider)
    User.objects.update(is_active=False)
    other = Client()
    assert come(other, provider)["Location"] == LOGIN
    assert other.get("/admin/integrations").status_code == 302
    assert client.get("/admin/integrations").status_code == 302, "and are out at once"


def test_the_providers_own_second_factor_is_enough(client: Client, provider: Provider, settings: Any) -> None:
    settings.SECOND_FACTOR_FOR = "everyone"
    come(client, provider)
    assert client.get("/admin/integrations").status_code == 200
    settings.OIDC_SECOND_FACTOR = False
    other = Client()
    come(other, provider)
    assert other.get("/admin/integrations")["Location"] == "/accounts/factors/"


def test_ours_is_asked_for_too_by_who_has_one(client: Client, provider: Provider, person: Any) -> None:
    """Set up here, it stands, however they come."""
    come(client, provider)
    TOTP.activate(User.objects.get(), generate_totp_secret())
    other = Client()
    assert come(other, provider)["Location"] == "/accounts/second-factor/"
    assert other.get("/admin/integrations").status_code == 302


def test_an_answer_that_nobody_asked_for_is_refused(client: Client, provider: Provider) -> None:
    forged = provider.authorise(Client().get(START)["Location"]).replace("http://testserver", "")
    client.get(forged)
    assert client.get("/admin/integrations").status_code == 302
    assert not User.objects.exists()


@pytest.mark.parametrize("how", ["broken", "cancelled", "signed by another"])
def test_what_goes_wrong_there_leads_back_here(client: Client, provider: Provider, how: str) -> None:
    if how == "cancelled":
        state = client.get(START)["Location"].partition("state=")[2].partition("&")[0]
        answer = client.get("/accounts/company/callback/", {"error": "access_denied", "state": state})
    else:
        provider.broken = how == "broken"
        if how != "broken":
            provider.claims["iss"] = "https://elsewhere.example"
            provider.url = "https://elsewhere.example"
            there = client.get(START)["Location"]
            answer = client.get(provider.authorise(there).replace("http://testserver", ""))
        else:
            answer = come(client, provider)
    assert answer["Location"] == LOGIN
    assert "Signing in there did not work" in client.get(LOGIN).content.decode()
    assert not User.objects.exists()


def test_a_provider_that_is_away_leads_back_too(client: Client, provider: Provider, settings: Any) -> None:
    settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["settings"]["server_url"] = "http://127.0.0.1:9"
    assert client.get(START)["Location"] == LOGIN


def test_nobody_is_led_elsewhere_by_it(client: Client, provider: Provider) -> None:
    assert come(client, provider, then="https://evil.example/")["Location"] == "/admin/integrations"


def test_the_page_offers_it_only_where_it_is_set_up(client: Client, provider: Provider, settings: Any) -> None:
    assert START in client.get(LOGIN).content.decode()
    settings.OIDC_ISSUER = ""
    assert START not in client.get(LOGIN).content.decode()
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": []}}
    assert client.get(START).status_code == 404


def test_settings_that_would_fail_quietly_are_told(settings: Any) -> None:
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = "https://sso.example", "", "x"
    settings.OIDC_ROLES = ["noc=IT Manager", "noc=Sysadmin", "nothing"]
    assert company.amiss() == [
        "OIDC_CLIENT_ID is not set.",
        "OIDC_ROLES: 'nothing' is no GROUP=ROLE.",
        "OIDC_ROLES: there is no role 'Sysadmin'.",
        "OIDC_ROLES: there is no role 'nothing'.",
    ]
