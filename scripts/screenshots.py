"""Writes `docs/screenshots/` and `docs/screenshots.md`: the pages of the admin, in a browser, on demo data.

    python scripts/screenshots.py                        those that the documentation has
    python scripts/screenshots.py --to DIR [spend call]  every page, or these, at both widths, light and dark, and as PDF

Makes a database of its own, fills it (`tests/showcase.py`), serves the product on a free port of this machine, opens each page
(`tests/pages.py`), and takes all of it away again. The same comes out each time but for times and ids. Needs Chromium.
"""

import argparse
import base64
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, BrowserContext, sync_playwright  # noqa: E402
from playwright.sync_api import Page as Tab  # noqa: E402

from deploy.up import Supervisor  # noqa: E402

DOCS = ROOT / "docs"
WIDTHS, SCHEMES = (1280, 390), ("light", "dark")
#: The documentation has each page wide and light; these also in every other way.
IN_EVERY_WAY = ("overview", "spend", "budgets", "calls", "call")
#: A page is cut off below so many pixels.
TALLEST = 2000
QUALITY = 78
DAYS, CALLS = 65, 40_000
MADE = "<!-- Made by scripts/screenshots.py; do not edit. -->"
#: What Chromium is started with; it talks to nobody but the server.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
]


def main() -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="PAGE", help="names of pages; default: all")
    parser.add_argument("--to", type=Path, metavar="DIR", help="every page, in every way, into this folder")
    asked = parser.parse_args()
    if asked.names and not asked.to:
        parser.error("say where single pages go: --to DIR")
    with served() as (url, session), chromium() as browser:
        from tests import pages

        known = [*pages.DASHBOARDS, *pages.OTHERS, pages.LOGIN]
        known = [*known, *pages.rest()] if asked.to else [page for page in known if page.shown]
        if unknown := sorted(set(asked.names) - {page.name for page in known}):
            parser.error(f"there is no page {', '.join(unknown)}, but {', '.join(page.name for page in known)}")
        chosen = [page for page in known if page.name in asked.names or not asked.names]
        to = asked.to or DOCS / "screenshots"
        to.mkdir(parents=True, exist_ok=True)
        if not asked.to:
            for old in to.glob("*.webp"):
                old.unlink()
        for width in WIDTHS:
            for scheme in SCHEMES:
                usual = (width, scheme) == (WIDTHS[0], SCHEMES[0])
                wanted = [page for page in chosen if usual or asked.to or page.name in IN_EVERY_WAY]
                shoot(browser, url, session, wanted, to, width, scheme, printed=usual and bool(asked.to))
    if not asked.to:
        (DOCS / "screenshots.md").write_text(index(chosen))
    return 0


@contextmanager
def served() -> Iterator[tuple[str, str]]:
    """The product with a furnished database of its own: its address, and the session of an administrator."""
    state = Path(tempfile.mkdtemp(prefix="tollhouse-screenshots-"))
    os.environ.pop("DATABASE_URL", None)
    os.environ |= {
        "TOLLHOUSE_STATE_DIR": str(state), "DJANGO_SETTINGS_MODULE": "deploy.settings", "DJANGO_TIME_ZONE": "UTC",
        "DJANGO_LOG_LEVEL": "WARNING", "TOLLHOUSE_OWNER_DEAD_AFTER_S": "86400",  # whose hold is in flight, and stays so
        "DJANGO_ALLOW_ASYNC_UNSAFE": "true",  # Playwright's loop runs in this thread
    }  # fmt: skip
    supervisor = Supervisor()
    try:
        session = furnished()
        from django.conf import settings

        from deploy.postgres import server_url

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        supervisor.start(
            "server",
            [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws",
             "--log-level", "warning", "--static-path-route", "/static", "--static-path-mount", str(settings.STATIC_ROOT),
             "deploy.asgi:application"],
            DATABASE_URL=server_url(os.environ["DATABASE_URL"]),
        )  # fmt: skip
        supervisor.wait_for(f"{url}/readyz", "server", 60)
        yield url, session
    finally:
        supervisor.stop()
        from django.db import connection

        connection.close()
        shutil.rmtree(state, ignore_errors=True)


def furnished() -> str:
    """Makes the database with all in it; returns the session of an administrator."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    from deploy.postgres import database_url

    os.environ["DATABASE_URL"] = database_url(settings.STATE_DIR)
    call_command("migrate", verbosity=0, interactive=False)
    call_command("collectstatic", verbosity=0, interactive=False)
    from django.contrib.auth.models import User
    from django.test import Client

    from tests.showcase import furnish

    admin = User.objects.create_superuser("ada")
    furnish(days=DAYS, calls=CALLS)
    client = Client()
    client.force_login(admin)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


@contextmanager
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("Install Chromium: the pages are opened in a real browser.")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield found
        found.close()


def shoot(
    browser: Browser, url: str, session: str, wanted: list[Any], to: Path, width: int, scheme: str, *, printed: bool
) -> None:
    """Opens each of the pages at this width and in this scheme, and writes what it shows; `printed` as PDF, too."""
    from tests import pages

    where = pages.places()
    for page in wanted:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce", locale="en-US",
            timezone_id="UTC",
        )  # type: ignore[arg-type]  # fmt: skip
        if page is not pages.LOGIN:
            context.add_cookies([{"name": "sessionid", "value": session, "url": url}])
        tab = context.new_page()
        tab.goto(url + page.path.format(**where))
        if page.act:
            page.act(tab)
        drawn(tab)
        (to / f"{page.name}-{width}-{scheme}.webp").write_bytes(picture(context, tab, width))
        if printed:
            tab.pdf(path=to / f"{page.name}.pdf", format="A4", print_background=True)
        context.close()


def drawn(tab: Tab) -> None:
    """Waits until every chart of the page is drawn."""
    for chart in tab.locator("figure[data-chart]").all():
        chart.scroll_into_view_if_needed()
    tab.wait_for_selector("figure[data-chart]:not([aria-busy=false])", state="detached")
    tab.evaluate("scrollTo(0, 0)")


def picture(context: BrowserContext, tab: Tab, width: int) -> bytes:
    """The whole page, down to TALLEST, as WebP."""
    height = min(tab.evaluate("document.documentElement.scrollHeight"), TALLEST)
    tab.set_viewport_size({"width": width, "height": height})  # what stays in sight while one scrolls is whole, too
    shot = context.new_cdp_session(tab).send(
        "Page.captureScreenshot",
        {"format": "webp", "quality": QUALITY, "captureBeyondViewport": True,
         "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}},
    )  # fmt: skip
    return base64.b64decode(shot["data"])


def index(shown: list[Any]) -> str:
    """The page of the documentation that shows them."""
    lines = [
        "# Screenshots", "", MADE, "",
        "The pages of the admin, as `make screenshots` makes them on data of `manage.py demo_data`: the same each time but for",
        "times and ids. `python scripts/screenshots.py --to DIR` makes all, at 1280 and 390 pixels, light, dark and as PDF.", "",
    ]  # fmt: skip
    for page in shown:
        lines += [f"## {page.title}", "", picture_of(page, WIDTHS[0], "100%")]
        if page.name in IN_EVERY_WAY:
            lines += ["", picture_of(page, WIDTHS[1], "40%")]
        lines.append("")
    return "\n".join(lines)


def picture_of(page: Any, width: int, shown: str) -> str:
    """An image of the page, dark to those who prefer that where there is such a one."""
    name = f"screenshots/{page.name}-{width}"
    light = f'<img src="{name}-light.webp" alt="{page.title}" width="{shown}">'
    if page.name not in IN_EVERY_WAY:
        return light
    return f'<picture><source media="(prefers-color-scheme: dark)" srcset="{name}-dark.webp">{light}</picture>'


if __name__ == "__main__":
    sys.exit(main())
