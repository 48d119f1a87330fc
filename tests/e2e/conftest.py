"""A real browser: Debian's Chromium, headless, talking to Django's live server only."""

import os
import shutil
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Locator, sync_playwright

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
AXE = Path(__file__).parent / "vendor" / "axe-4.14.1.min.js"
#: Says so where the policy forbade something: Chromium's console does so for most, but not for all of it.
LISTEN = "addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI, e.sample))"
#: Where to keep a screenshot of every page that a test opens; nowhere unless this is set.
SCREENSHOTS = os.environ.get("SCREENSHOTS")


@pytest.fixture(scope="module")
def browser():
    # Playwright's own loop runs in this thread, which Django takes for asynchronous code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "install Chromium: the pages are tested in a real browser"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield found
        found.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


class Visitor:
    """Somebody at a browser; `problems` collects what the browser complained about."""

    def __init__(self, browser, url: str, width: int, scheme: str) -> None:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.url, self.width, self.scheme = url, width, scheme
        self.page = context.new_page()
        self.problems: list[str] = []
        self.page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))

    def log_in(self, name: str, password: str) -> None:
        """By the form. Tests that are about something else have somebody logged in already (`let_in`)."""
        self.open("/admin/login/", "login")
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", password)
        self.go("input[type=submit]")

    def let_in(self, user) -> None:
        """As the form would, without its two pages."""
        client = Client()
        client.force_login(user)
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        self.page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": self.url}])

    def open(self, path: str, name: str = "") -> None:
        """Opens a page; it must not complain, nor be wider than the window."""
        self.follow(f"{self.url}{path}", name or path.strip("/").replace("/", "-") or "index")

    def follow(self, link: str, name: str) -> None:
        """Opens a link that came from elsewhere; as for `open`."""
        answer = self.page.goto(link)
        assert answer.ok, f"{link}: {answer.status}"
        self.look(name)

    def go(self, what: str | Locator) -> None:
        """Clicks on what leads to another page (a link, a button of a form) and waits until that one is there.

        A click alone may return before the browser has left the old page, which a test would then read again.
        """
        with self.page.expect_navigation():
            (self.page.locator(what).first if isinstance(what, str) else what).click()

    def look(self, name: str) -> None:
        self.page.wait_for_load_state()
        self.keep(name)
        assert self.problems == []
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name} is {wide} px too wide at {self.width}"

    def keep(self, name: str) -> None:
        """Keeps a screenshot of the page as it is, where that is wanted."""
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{SCREENSHOTS}/{name}-{self.width}-{self.scheme}.png", full_page=True)


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["wide-light", "narrow-dark"])
def visitor(request, browser, live_server, transactional_db, django_user_model):
    """An administrator at a wide, light window and at a narrow, dark one."""
    admin = django_user_model.objects.create_superuser("admin", password="correct horse")
    found = Visitor(browser, live_server.url, *request.param)
    found.let_in(admin)
    yield found
    found.page.context.close()
