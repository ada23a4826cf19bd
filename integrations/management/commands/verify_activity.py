"""`manage.py verify_activity`: prove that the activity log is whole."""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from integrations import activity
from integrations.models import ActivityHead


class Command(BaseCommand):
    help = (
        "Walk the activity log's chain and say whether a row was changed, inserted or removed by hand. "
        "Exit code 0: it is whole. 1: it is not; each finding is one line on stderr."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        findings = 0
        for finding in activity.verify():
            findings += 1
            self.stderr.write(finding)
        anchor = activity.removed()
        if findings == 0:
            head = ActivityHead.objects.filter(pk=1).first()
            number = (head.seq if head else 0) - (anchor.seq if anchor else 0)
            self.stdout.write(f"The activity log is whole: {number} rows, chained without a break.")
        if anchor:
            date = f"{timezone.localtime(anchor.created_at):%Y-%m-%d}"
            self.stdout.write(f"Rows #1 to #{anchor.seq} were removed under an anchor of {date}.")
        if findings:
            sys.exit(1)
