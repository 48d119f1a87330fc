"""The diff in the docs is true: taken out, it leaves a helpdesk that knows nothing of Tollhouse and passes its tests."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import before_after

SETTINGS = ["DATABASE_URL", "SECRET_KEY", "STATIC_ROOT", "PATH"]


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    folder = tmp_path_factory.mktemp("helpdesk")
    before_after.write_before(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_model():
    """Nothing here asks."""


def test_the_diff_is_the_one_that_would_be_made(before):
    assert before_after.differences(before) == before_after.DIFF.read_text()


def test_before_there_was_no_trace_of_tollhouse(before):
    for file in filter(Path.is_file, before.rglob("*")):
        words = file.read_text().lower()
        assert not any(word in words for word in ("tollhouse", "gateway", "llm", "model said", "disclosure")), file


def test_before_passes_its_checks_and_tests_without_tollhouse(before):
    shutil.copy(before_after.HERE / "tests" / "test_tickets.py", before / "tests")
    environment = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    server, _, query = environment["DATABASE_URL"].partition("?")
    environment["DATABASE_URL"] = f"{server.rpartition('/')[0]}/helpdesk_before{'?' * bool(query)}{query}"
    environment["DJANGO_SETTINGS_MODULE"] = "helpdesk.settings"
    for command in (["manage.py", "check"], ["-m", "pytest", "-p", "no:cacheprovider", "tests/test_tickets.py"]):
        ran = subprocess.run(
            [sys.executable, *command], cwd=before, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_the_docs_quote_is_in_the_diff():
    docs = (before_after.HERE.parent.parent / "docs" / "helpdesk.md").read_text()
    quoted = [line for line in docs.split("```diff\n")[1].split("```")[0].splitlines() if line != "…"]
    assert quoted and set(quoted) <= set(before_after.DIFF.read_text().splitlines())
