"""What is done with webhooks from their pages and needs more than that app knows: who works, who is to be woken."""

from django.urls import path

from config import schedule, wakeup
from webhooks.views import receivers, replays, retries

urlpatterns = [
    path("/<uuid:pk>/replay", replays.one, {"run": schedule.work_on}, name="replay-event"),
    path("/replays", replays.many, {"wake": wakeup.replay}, name="replay-many"),
    path("/retry-queue", retries.queue, {"run": schedule.work_on}, name="retry-queue"),
    path("/test", replays.test, {"run": schedule.work_on}, name="test-webhook"),
    path("/<uuid:webhook_id>/switch", receivers.switch, {"wake": wakeup.look_soon}, name="switch-receiver"),
    path(
        "/<uuid:webhook_id>/judge",
        receivers.judge,
        {"wake": wakeup.look_soon, "go_on": wakeup.reverify},
        name="judge-refusals",
    ),
    path("/<uuid:webhook_id>/resume", receivers.resume, {"wake": wakeup.forward_soon}, name="resume-forwards"),
    path(
        "/<uuid:webhook_id>/forwards/<uuid:forward_id>/retry",
        receivers.retry,
        {"wake": wakeup.forward_soon},
        name="retry-forward",
    ),
    path("/<uuid:webhook_id>/look", receivers.look, {"follow": schedule.look_for_trouble}, name="look-registrations"),
    path("/<uuid:webhook_id>/fetch", receivers.fetch, {"wake": wakeup.look_soon}, name="fetch-missing"),
]
