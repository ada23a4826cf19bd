"""The pages' addresses. No trailing slashes, save where people have always signed in."""

from django.urls import include, path

from config import api, schedule, views, wakeup
from healthchecks import views as health
from integrations import views as integrations
from integrations.accounts import views as accounts
from integrations.cron import urls as cron
from oauth import views as oauth
from webhooks import queue

urlpatterns = [
    path("", views.home, name="home"),
    path("brand.css", views.brand_css, name="brand-css"),
    path("accounts/", include("integrations.accounts.login.urls")),
    path("accounts/", include("integrations.accounts.urls")),
    path("admin/integrations", views.overview, name="overview"),
    path("admin/integrations/activity", integrations.activity, name="activity"),
    path("admin/integrations/palette", views.command_palette, name="palette"),
    path("admin/integrations/account", accounts.account, name="account"),
    path("admin/integrations/account/password", accounts.change_password, name="account-password"),
    path("admin/integrations/account/sessions/end", accounts.end_sessions, name="account-sessions-end"),
    path("admin/integrations/account/sessions/<int:pk>/end", accounts.end_sessions, name="account-session-end"),
    path("admin/integrations/account/tokens", accounts.api_tokens, name="account-tokens"),
    path("admin/integrations/account/tokens/<uuid:pk>/revoke", accounts.revoke_token, name="account-token-revoke"),
    path("admin/integrations/account/preferences", accounts.change_preferences, name="account-preferences"),
    path("admin/integrations/people", include("integrations.accounts.people_urls")),
    path("admin/integrations/check", views.check_all, name="check-all"),
    path("admin/integrations/apis", include("healthchecks.urls")),
    path(
        "admin/integrations/apis/<slug:slug>/thresholds",
        health.thresholds,
        {"judge": api.judge_thresholds},
        name="apis-thresholds",
    ),
    path("admin/integrations/webhooks", include("webhooks.urls")),
    path("admin/integrations/webhooks", include("config.urls_webhooks")),
    path("admin/integrations/alerts", include("healthchecks.alerts.urls")),
    path(
        "admin/integrations/cron",
        include(
            cron.routes(runnable=schedule.is_runnable, held=schedule.held, start=wakeup.start, beside=queue.address)
        ),
    ),
    path(
        "admin/integrations/oauth/refresh", oauth.refresh_all, {"look_at": wakeup.check_soon}, name="oauth-refresh-all"
    ),
    path(
        "admin/integrations/oauth/<slug:slug>/revoke",
        oauth.revoke,
        {"look_at": wakeup.check_soon},
        name="oauth-revoke",
    ),
    path("", include("oauth.urls")),
    path("admin/integrations/incidents/<uuid:pk>", health.incident, name="incident"),
    path("admin/integrations/<slug:slug>", views.detail, name="detail"),
    path("admin/integrations/<slug:slug>/switch", views.turn, name="switch"),
    path("admin/integrations/<slug:slug>/check", views.check, name="check"),
    path("admin/integrations/<slug:slug>/refresh", views.refresh, name="refresh"),
    path("oauth/callback", oauth.callback, {"look_at": wakeup.check_soon}, name="oauth-callback"),
]
