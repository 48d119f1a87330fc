"""What the documentation tells people to write works: every block of every page runs, on the demo's catalog.

The server, the database and the commands are the product's own; the models are the mock provider's.
"""

from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from gateway import engine, keys
from tests.docs.pages import PAGES, ROOT, Block, blocks
from tests.docs.reader import Reader
from tests.server import environment

#: Blocks that no test can run; each says why, above it. More than these are a sign that the pages are not tried.
MOST_SKIPPED = 9
#: Pages with something to run.
RUN = [page for page in PAGES if any(block.language != "text" for block in blocks(page)[0])]


@pytest.fixture
def project_database(transactional_db):
    """The URL of an empty database beside the test's own, for a project that a page makes, or what it restores."""
    url = environment()["DATABASE_URL"]
    name = f"{connection.settings_dict['NAME']}_project"
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(f'DROP DATABASE IF EXISTS "{name}"')
        session.execute(f'CREATE DATABASE "{name}"')
        yield url.replace(f"/{connection.settings_dict['NAME']}", f"/{name}")
        session.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def demo(transactional_db, provider, tmp_path, monkeypatch):
    """The demo's catalog, and what the pages take for granted, with the mock provider behind all of it."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "not-a-key")
    texts = [(ROOT / "deploy" / "catalog" / "demo.toml").read_text().replace("http://127.0.0.1:8801/v1", "MOCK"),
             (ROOT / "tests" / "docs" / "world.toml").read_text()]  # fmt: skip
    for number, text in enumerate(texts):
        file = tmp_path / f"{number}.toml"
        file.write_text(text.replace("MOCK", provider.base_url))
        call_command("catalog", "apply", str(file), stdout=StringIO())
    yield
    engine.stop()


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_do_what_it_says(page: Path, demo, running_server, project_database, tmp_path):
    found, top = blocks(page)
    own = {"DATABASE_URL": project_database, "DJANGO_SETTINGS_MODULE": None} if "project" in top else {}
    folder = tmp_path / "work"
    folder.mkdir()
    reader = Reader(folder, running_server, keys.create("demo", ["*"]), RESTORED_URL=project_database, **own)
    try:
        for block in found:
            if not block.all("skip"):
                reader.do(block)
    finally:
        reader.stop()


def test_few_blocks_are_not_run_and_each_says_why():
    skipped = [block for page in PAGES for block in blocks(page)[0] if block.all("skip")]
    assert all(len(block.one("skip") or "") > 10 for block in skipped), [str(block) for block in skipped]
    assert len(skipped) <= MOST_SKIPPED, [str(block) for block in skipped]


def test_what_a_block_needs_is_read_from_above_it(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n<!-- test: prints a b -->\n<!-- test: prints c -->\n```sh\necho a b\n\necho c\n```\n\n"
        "<!-- test: prints of another block -->\n\nText.\n\n```toml\n```\n\n<!-- test: python\nx = 1\n-->\n"
    )
    shell, toml, hidden = blocks(page)[0]
    assert (shell.language, shell.text, shell.all("prints")) == ("sh", "echo a b\n\necho c\n", ["a b", "c"])
    assert (toml.language, toml.orders) == ("toml", [])
    assert (hidden.language, hidden.text, hidden.orders) == ("python", "x = 1\n", [])


@pytest.mark.parametrize(
    "language, text, told",
    [
        ("sh", "false", "ended with 1"),
        ("python", "1 / 0", "ZeroDivisionError"),
        ("toml", "[features.a]\nroute = 'none'", "Nothing was applied: 1 to mend"),
        ("json", "{", "JSONDecodeError"),
        ("yaml", "a: 1", "nothing is known of the language 'yaml'"),
        ("sh", "echo c", "did not print 'd'"),
    ],
)
def test_a_block_that_does_not_work_is_told_with_its_place(language, text, told, demo, running_server, tmp_path):
    reader = Reader(tmp_path, running_server, "none")
    block = Block(ROOT / "README.md", 7, language, [("prints", "d")], [text])
    with pytest.raises(AssertionError, match=rf"(?s)README.md:7.*({told})"):
        reader.do(block)
