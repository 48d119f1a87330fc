"""Links of the documentation lead somewhere, and every page is linked to."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

ALL = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]+)\)")


def prose(page: Path) -> str:
    """The page without its blocks and comments."""
    return re.sub(r"^ *```.*?^ *```|<!--.*?-->", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the page's headings."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return names


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading; there are {anchors(target)}"


def test_every_page_is_linked_to():
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in ALL for link in LINK.findall(prose(page))}
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in linked and page.name != "README.md"] == []
