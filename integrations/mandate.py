"""On whose behalf queued work is done: the right to it is asked again when it is done, not only when it was asked for.

A row that waits keeps who asked for it, and by which API token. Whoever was disabled, has lost the right, or whose
token was revoked meanwhile stops what of it isn't done yet. A row that keeps nobody was asked for by no person: by the
clock, or on the command line.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from integrations import activity, permissions
from integrations.accounts.models import ApiToken, User
from integrations.actor import Actor
from integrations.models import Integration
from integrations.permissions import Perm

Kept = dict[str, Any] | None
"""As it stands in a row."""


def of(actor: Actor) -> Kept:
    """What to keep of who asks; None when that is no person."""
    if actor.user_id is None:
        return None
    token = {"token": str(actor.token_id)} if actor.token_id else {}
    return {"user": str(actor.user_id), "name": actor.username[:150], **token}


def actor(kept: Kept) -> Actor:
    """Them again, for the activity log."""
    return Actor(username=kept["name"], user_id=UUID(kept["user"])) if kept else Actor(username="system")


def lost(kept: Kept, perm: Perm, integrations: Collection[UUID]) -> str:
    """Why this may no longer be done on all of `integrations`, in words; "" while it may. None of them: `perm` must be
    held globally."""
    if kept is None:
        return ""
    user = User.objects.filter(pk=kept["user"]).first()
    if user is None:
        return _("Stopped: {name} was removed.").format(name=kept["name"])
    if not user.is_active:
        return _("Stopped: {name} was disabled.").format(name=kept["name"])
    if "token" in kept:
        token = ApiToken.objects.filter(pk=kept["token"]).first()
        if token is None or token.revoked_at:
            return _("Stopped: the API token of {name} was revoked.").format(name=kept["name"])
        permissions.limit(user, token.scopes, on=token.only_on)  # one that has run out meanwhile: its limits hold
    if permissions.may(user, perm):
        return ""
    wanted = set(integrations)
    if wanted and wanted <= set(permissions.visible(user, perm).values_list("pk", flat=True)):
        return ""
    words = _("Stopped: {name} no longer has the permission {permission} for it.")
    return words.format(name=kept["name"], permission=perm.public_name)


def stop(kept: Kept, what: str, words: str, *, key: str, integration: Integration | None) -> None:
    """Tell the log that work of theirs was stopped, once for each `key`, in the caller's transaction."""
    activity.record_once(
        actor=actor(kept), action="work_stopped", key=f"work_stopped:{key}", integration=integration,
        outcome=activity.REFUSED, details={"what": what, "words": words},
    )  # fmt: skip
