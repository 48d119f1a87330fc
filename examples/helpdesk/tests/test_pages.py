"""The pages in a real browser: Debian's Chromium, headless, talking to Django's live server only."""

import json
import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from gateway import errors

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
#: Where to keep screenshots; nowhere unless this is set.
SCREENSHOTS = os.environ.get("SCREENSHOTS")
DRAFT = """Thank you for the number on the label. It tells us that there is a second box, and I am asking where it is.

So that it goes to the right place: could you send me your new address? I know that you are leaving on Saturday.

Kind regards"""
SORTED = {"category": "delivery", "priority": "high", "reason": "A part is missing, and it is needed by Saturday."}


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


class Window:
    """A window of the browser; `problems` collects what the browser complained about, its CSP reports among it."""

    def __init__(self, browser, url, width, scheme):
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.url, self.name, self.problems = url, f"{width}-{scheme}", []
        self.page.on("console", lambda message: self.problems.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))

    def go(self, selector):
        """Clicks on what leads to another page and waits until that one is there; a click alone may return before."""
        with self.page.expect_navigation():
            self.page.click(selector)

    def look(self, name):
        """The page must not complain, nor be wider than the window."""
        if SCREENSHOTS:
            Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{SCREENSHOTS}/{name}-{self.name}.png", full_page=True)
        assert self.problems == []
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name} is {wide} px too wide"


@pytest.fixture(params=[(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def window(request, browser, live_server, transactional_db, ticket):
    found = Window(browser, live_server.url, *request.param)
    yield found
    found.page.close()


def test_an_agent_answers_a_ticket_with_a_draft(window, llm, ticket):
    page = window.page
    page.goto(window.url)
    window.look("login")
    page.fill("#id_username", "priya")
    page.fill("#id_password", "correct horse")
    window.go("main button")
    window.look("list")
    window.go("text=The front wheel is missing")
    window.look("ticket")

    page.fill("#id_text", "Dear Margaret,")
    llm.reply("She waits for a front wheel and leaves on Saturday. The label names a second box. Next: find it.")
    window.go("text=Summarise")
    window.look("summary")
    llm.reply(json.dumps(SORTED))
    window.go("text=Suggest")
    assert page.input_value("#id_category") == "delivery"
    window.look("suggested")
    llm.reply(DRAFT, usage={"prompt_tokens": 420, "completion_tokens": 110})
    window.go("text=Draft a reply")
    assert page.input_value("#id_text") == f"Dear Margaret,\n\n{DRAFT}"
    window.look("draft")
    llm.fail(errors.BudgetExceeded)
    window.go("text=Draft a reply")
    assert page.input_value("#id_text") == f"Dear Margaret,\n\n{DRAFT}"
    window.look("refused")
    window.go("text=Send reply")
    assert page.locator(".note.success").inner_text() == "Your reply to Margaret Ellis was sent."
    window.look("sent")
    assert ticket.messages.last().text.endswith("Kind regards")
