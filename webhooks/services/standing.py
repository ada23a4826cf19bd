"""Replays and tests are somebody's: whether they may still do that is asked again before each event of theirs is run.

What came from a provider is nobody's, and runs whoever is disabled.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction

from integrations import mandate
from integrations.permissions import Perm
from webhooks.models import ReplayBatch, WebhookLog

Status = ReplayBatch.Status


def lost(rows: Iterable[WebhookLog]) -> dict[UUID, str]:
    """Which of `rows` (with their webhooks) are to be run no more, and why. Each person is asked for once."""
    asked: dict[tuple[str, UUID], str] = {}
    found: dict[UUID, str] = {}
    for row in rows:
        if row.mandate is None:
            continue
        integration = row.webhook.integration_id
        about = (str(row.mandate), integration)
        if about not in asked:
            asked[about] = mandate.lost(row.mandate, Perm.WEBHOOKS_REPLAY, [integration])
        if asked[about]:
            found[row.pk] = asked[about]
    return found


@transaction.atomic
def stop(row: WebhookLog, words: str, *, now: datetime) -> bool:
    """It failed for good, and says why; so does the batch that it is of. False: somebody else has it."""
    failed = WebhookLog.Status.FAILED
    if not WebhookLog.objects.finish(row, status=failed, due_at=None, error_message=words, traceback=""):
        return False
    if row.batch_id:
        batch = ReplayBatch.objects.filter(pk=row.batch_id, status__in=[Status.RUNNING, Status.DONE])
        batch.update(status=Status.STOPPED, due_at=None, finished_at=now, stopped_why=words)
    integration = row.webhook.integration
    what = "a test event" if row.is_test and not row.replay_of else "a replay"
    mandate.stop(row.mandate, what, words, key=f"replay:{row.batch_id or row.pk}", integration=integration)
    return True
