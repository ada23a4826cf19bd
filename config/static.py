"""Static files: which of the installed packages' files we serve, and how they are made fit for a cache.

Compressing everything takes most of a minute at the first start; what no page uses (source maps, Redoc, DRF's
browsable API) is left out, which leaves seconds.
"""

from django.contrib.staticfiles.apps import StaticFilesConfig
from servestatic.storage import CompressedManifestStaticFilesStorage


class OurStaticFilesConfig(StaticFilesConfig):
    ignore_patterns = [
        *StaticFilesConfig.ignore_patterns,
        "*.map", "*.md", "redoc", "rest_framework", "django_htmx", "guardian", "swagger-ui-es-*", "oauth2-redirect*",
    ]  # fmt: skip


class Storage(CompressedManifestStaticFilesStorage):
    """Hashed names and compressed copies. Links to source maps are not followed: the maps are left out above."""

    patterns = (("*.css", (CompressedManifestStaticFilesStorage.patterns[0][1][:2])),)
