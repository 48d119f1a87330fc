"""`make helpdesk` without make: the example with the real gate, its catalog and its sandbox."""

import json
import re
from urllib.parse import urlsplit

import httpx
import psutil

from tests.deploy.test_up import Up
from tests.server import free_port


class Helpdesk(Up):
    COMMAND = ("examples/helpdesk/run.py", "up")


def post(browser: httpx.Client, path: str, **values: str) -> str:
    fields = {**values, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    return browser.post(path, data=fields, follow_redirects=True).raise_for_status().text


def roles_of_servers(up: Helpdesk) -> set[str]:
    """Whom its server processes are to the database."""
    children = psutil.Process(up.process.pid).children(recursive=True)
    servers = [child for child in children if "granian" in child.cmdline()]
    return {str(urlsplit(child.environ()["DATABASE_URL"]).username) for child in servers}


def test_a_draft_without_any_key(tmp_path):
    port, password = free_port(), "-begins-with-a-dash"
    login = tmp_path / "state" / "helpdesk" / "login.json"
    login.parent.mkdir(parents=True)
    login.write_text(json.dumps({"password": password}))
    up = Helpdesk(tmp_path / "state", port)
    try:
        assert re.findall(r"password +(\S+)", up.wait()) == [password]
        assert roles_of_servers(up) == {"tollhouse_server"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as browser:
            browser.get("/login/")
            tickets = post(browser, "/login/", username="priya", password=password)
            [ticket] = re.findall(r'href="(/tickets/\d+/)">The front wheel is missing', tickets)
            page = post(browser, ticket, ask="reply", text="")
            assert "Dear Margaret Ellis," in page and "model rehearsal · $0.000" in page
            assert '<option value="billing" selected>' in post(
                browser, re.findall(r'href="(/tickets/\d+/)">Invoice', tickets)[0], ask="classify", text=""
            )
    finally:
        up.stop()
    assert up.process.returncode == 0
    assert not (tmp_path / "state" / "helpdesk" / "postgres" / "postmaster.pid").exists()
