"""The login's addresses. Their names are those that django-allauth asks for; what it has more of is not opened."""

from allauth.mfa.base.views import authenticate
from allauth.mfa.recovery_codes.views import generate_recovery_codes, view_recovery_codes
from allauth.mfa.totp.views import activate_totp, deactivate_totp
from allauth.socialaccount.providers.openid_connect import views as oidc
from django.urls import path

from integrations.accounts.login import views
from integrations.accounts.login.company import come_or_go

COMPANY = {"provider_id": "company"}

urlpatterns = [
    path("login/", views.Login.as_view(), name="account_login"),
    path("logout/", views.sign_out, name="account_logout"),
    path("second-factor/", authenticate, name="mfa_authenticate"),
    path("passkey/", views.Passkey.as_view(), name="mfa_login_webauthn"),
    path("factors/", views.second_factors, name="mfa_index"),
    path("factors/app/add/", activate_totp, name="mfa_activate_totp"),
    path("factors/app/remove/", deactivate_totp, name="mfa_deactivate_totp"),
    path("factors/keys/add/", views.AddKey.as_view(), name="mfa_add_webauthn"),
    path("factors/keys/<int:pk>/remove/", views.RemoveKey.as_view(), name="mfa_remove_webauthn"),
    path("factors/codes/", view_recovery_codes, name="mfa_view_recovery_codes"),
    path("factors/codes/make/", generate_recovery_codes, name="mfa_generate_recovery_codes"),
    path("company/", come_or_go(oidc.login), COMPANY, name="openid_connect_login"),
    path("company/callback/", come_or_go(oidc.callback), COMPANY, name="openid_connect_callback"),
]
