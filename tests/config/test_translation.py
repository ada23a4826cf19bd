"""Every text of the pages can be translated: marked, gathered, and spoken in the language that is set."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.utils import translation

from integrations.accounts.models import User
from integrations.cron.models import CronJob
from integrations.models import Integration
from tests import pseudo, unmarked
from tests.pseudo import CLOSE, OPEN
from webhooks.models import Webhook

TEMPLATES = sorted(unmarked.TEMPLATES.rglob("*.html"))
P = "/admin/integrations"
CATALOGUE = Path(settings.LOCALE_PATHS[0]) / "en" / "LC_MESSAGES" / "django.po"
# What names or tells a part of a page. What stands in it beside marked words are names, figures and codes.
TELLING = {"h1", "h2", "h3", "button", "label", "legend", "th", "dt"}
NAME = re.compile(r"[A-Z][\w’']* [a-z]+ [a-z]+|^[A-Z][a-z]+$")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(unmarked.TEMPLATES)))
def test_no_word_of_a_template_is_left_unmarked(path: Path) -> None:
    assert unmarked.words_of(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "<p>Nothing here</p>",
        '<button aria-label="Close it">x</button>',
        "{{ on|yesno:'Yes,No' }}",
        "{% firstof name 'All of them' %}",
        '<c-empty-state title="No event" />',
        "<p>{% if a %}some{% endif %}</p>",
        "{% include 'x.html' with title='Gone' %}",
    ],
)
def test_what_is_unmarked_is_found(source: str) -> None:
    assert unmarked.words_of(source)


@pytest.mark.parametrize(
    "source",
    [
        '{% translate "Nothing here" %}',
        "{% blocktranslate %}Nothing <b>here</b>{% endblocktranslate %}",
        "<code>make run</code><time>{{ at|date:'D H:i' }}</time> ms",
        "{{ on|yesno:_('Yes,No') }}{# a note #}",
        '<p class="text sm" id="word">{{ name }}</p>',
    ],
)
def test_what_is_no_text_or_marked_is_not(source: str) -> None:
    assert unmarked.words_of(source) == []


class Told(HTMLParser):
    """The texts of the telling parts, each with what of it stands outside the brackets."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in TELLING:
            self.open.append(tag)
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[-1] += data


@pytest.mark.django_db
def test_what_tells_the_parts_of_a_page_comes_in_another_language(
    client: Client, alice: User, registry: dict[str, Integration]
) -> None:
    client.force_login(alice)
    job, hook = CronJob.objects.get(job_name="metrics-rollup"), Webhook.objects.earliest("webhook_url")
    names = {row.name for row in registry.values()} | {"API", "OAuth", "CSV"}
    paths = [
        "", "/oauth", "/oauth/zoho-crm", "/webhooks", "/webhooks/receivers", f"/webhooks/{hook.pk}",
        "/webhooks/test", "/webhooks/retry-queue", "/apis", "/apis?integration=resend", "/apis/resend/thresholds",
        "/apis/maintenance", "/cron", f"/cron/{job.pk}", f"/cron/{job.pk}/edit", "/activity", "/alerts", "/account",
        "/zoho-crm", *(f"/zoho-crm?tab={tab}" for tab in ("apis", "cron", "oauth")),
    ]  # fmt: skip
    foreign = []
    with pseudo.spoken():
        for path in paths:
            told = Told()
            told.feed(client.get(P + path).content.decode())
            assert any(OPEN in text for text in told.texts), path
            for text in told.texts:
                rest = re.sub(f"{OPEN}.*{CLOSE}", "", " ".join(text.split())).strip()
                if NAME.search(rest) and rest not in names:
                    foreign.append((path, rest))
    assert foreign == []


@pytest.fixture
def gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The catalogue as `make messages` would write it now."""
    if not shutil.which("xgettext"):
        pytest.skip("GNU gettext isn't here")
    root = tmp_path / "tree"
    kept = subprocess.run(
        ["git", "ls-files", "-z", "*.py", "*.html"], cwd=settings.BASE_DIR, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    for name in filter(None, kept):
        if name.startswith(("tests/", "frontend/")):
            continue
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(settings.BASE_DIR) / name, root / name)
    monkeypatch.chdir(root)
    monkeypatch.setattr(settings, "LOCALE_PATHS", [str(root / "locale")])
    (root / "locale").mkdir()
    call_command("makemessages", locale=["en"], no_location=True, no_wrap=True, verbosity=0)
    return (root / "locale" / "en" / "LC_MESSAGES" / "django.po").read_text()


def test_the_catalogue_has_what_the_sources_say(gathered: str) -> None:
    assert texts(gathered) == texts(CATALOGUE.read_text()), "run `make messages`"


def test_no_percent_sign_of_a_text_is_taken_for_a_directive(gathered: str) -> None:
    """xgettext reads "% o" of "90 % of" as one, and no translation could be compiled: the sign goes into the value."""
    flagged = re.findall(r"^#,.*python-format.*\n((?:.+\n)+)", gathered, re.MULTILINE)
    assert flagged
    assert [entry for entry in flagged if "%(" not in entry] == []


def texts(catalogue: str) -> set[str]:
    return set(re.findall(r'^msgid(?:_plural)? "(.+)"$', catalogue, re.MULTILINE))


@pytest.mark.skipif(not shutil.which("msgfmt"), reason="GNU gettext isn't here")
@pytest.mark.django_db
def test_a_language_is_a_file_and_a_setting(client: Client, alice: User, settings: Any, tmp_path: Path) -> None:
    place = tmp_path / "af" / "LC_MESSAGES"
    place.mkdir(parents=True)
    head = r'"Content-Type: text/plain; charset=UTF-8\n" "Plural-Forms: nplurals=2; plural=(n != 1);\n"'
    entry = 'msgid "Scheduled jobs"\nmsgstr "Geskeduleerde take"'
    (place / "django.po").write_text(f'msgid ""\nmsgstr ""\n{head}\n\n{entry}\n')
    subprocess.run(["msgfmt", "-o", place / "django.mo", place / "django.po"], check=True)
    settings.LOCALE_PATHS, settings.LANGUAGE_CODE = [str(tmp_path)], "af"
    client.force_login(alice)
    with translation.override("af"):
        page = client.get(f"{P}/cron").content.decode()
    assert '<html lang="af"' in page
    assert "Geskeduleerde take" in page
    assert "Next run" in page  # what has no translation yet stays English
