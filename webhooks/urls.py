from django.urls import path

from webhooks.views import feed, receivers, replays

app_name = "webhooks"
urlpatterns = [
    path("", feed.feed, name="feed"),
    path("/logs.csv", feed.csv, name="csv"),
    path("/<uuid:pk>/body", feed.log, name="log"),
    path("/<uuid:pk>/reveal", feed.reveal, name="reveal"),
    path("/<uuid:pk>/raw", feed.raw, name="raw"),
    path("/replays/<uuid:batch_id>", replays.batch, name="batch"),
    path("/replays/<uuid:batch_id>/cancel", replays.cancel, name="cancel"),
    path("/receivers", receivers.index, name="receivers"),
    path("/<uuid:webhook_id>", receivers.one, name="receiver"),
    path("/<uuid:webhook_id>/change", receivers.change, name="change"),
    path("/<uuid:webhook_id>/refusals.csv", receivers.refusals_csv, name="refusals-csv"),
    path("/<uuid:webhook_id>/forwards.csv", receivers.forwards_csv, name="forwards-csv"),
    path("/<uuid:webhook_id>/refusals/<uuid:refusal_id>", receivers.refusal, name="refusal"),
]
