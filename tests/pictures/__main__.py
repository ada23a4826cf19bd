"""`make pictures`: the pictures of the docs, taken of the running system in a browser.

Or into a folder of your choice, with another size of everything: `python -m tests.pictures FOLDER [OTHERS]`.
"""

import sys
import tempfile
from pathlib import Path

import requests
from playwright.sync_api import BrowserContext, sync_playwright

from tests import services
from tests.flows.system import ROOT, System, running

PAGES = {
    "overview": "", "apis": "/apis", "webhooks": "/webhooks", "oauth": "/oauth", "jobs": "/cron",
    "detail": "/zoho-crm", "activity": "/activity", "alerts": "/alerts",
}  # fmt: skip
VIEWS = {
    "": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "-dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "-phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}
IN_DOCS = ("",)
"""Of these views the docs have pictures; all of them are taken into a folder of one's own."""


def main(folder: Path, others: int, views: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, running(Path(place), "sqlite", BRAND_NAME="CircleTel") as system:
        system.manage("shell", "-v0", "-c", f"from tests.pictures import life; life.make(others={others})")
        for slug, fault in (("mtn-coverage", "fail"), ("google-maps", "throttle")):
            system.fault(slug, fault)
            for _ in range(2):  # the first failure is only a suspicion
                check = f"{system.url}/api/admin/integrations/health/{slug}/check"
                requests.post(check, headers={"Authorization": f"Bearer {system.token}"}, timeout=30)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=services.CHROMIUM or None, args=["--no-sandbox"])
            for suffix in views:
                shots(browser.new_context(**VIEWS[suffix], locale="en-ZA"), system, folder, suffix)  # type: ignore[arg-type]
            browser.close()


def shots(context: BrowserContext, system: System, folder: Path, suffix: str) -> None:
    page = context.new_page()
    page.goto(f"{system.url}/accounts/login/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(system.env["DJANGO_SUPERUSER_PASSWORD"])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{system.url}/admin/integrations")
    for name, path in PAGES.items():
        answer = page.goto(f"{system.url}/admin/integrations{path}")
        if answer is None or not answer.ok:
            print(f"{path or '/'}: {answer.status if answer else 'no answer'}")
            continue
        page.wait_for_load_state("networkidle")
        page.screenshot(path=folder / f"{name}{suffix}.png", full_page=suffix == "-phone")
        print(f"{name}{suffix}: {folder / f'{name}{suffix}.png'}")
    context.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, tuple(VIEWS))
    else:
        main(ROOT / "docs" / "images", 0, IN_DOCS)
