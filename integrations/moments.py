"""Moments in words that are kept: absolute ones, since nobody knows when they will be read."""

from datetime import datetime

from django.utils import timezone


def clock(at: datetime, *, now: datetime, seconds: bool = False) -> str:
    """ "15:59 SAST" where that is today, else "2026-11-28 01:05 SAST"; in the installation's time zone."""
    zone = timezone.get_default_timezone()
    local, today = timezone.localtime(at, zone), timezone.localtime(now, zone).date()
    day = "" if local.date() == today else f"{local:%Y-%m-%d} "
    return f"{day}{local:%H:%M:%S %Z}" if seconds else f"{day}{local:%H:%M %Z}"
