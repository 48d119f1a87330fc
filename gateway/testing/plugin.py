"""The pytest fixture `llm`: put `pytest_plugins = ["gateway.testing.plugin"]` into the project's conftest.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing import Stub


@pytest.fixture
def llm_catalog() -> str | Path | None:
    """The catalog file that counts in tests, beside what the database has; a project overrides this fixture to name it."""
    return None


@pytest.fixture
def llm(db: None, llm_catalog: str | Path | None) -> Iterator[Stub]:
    """A stub that stands in for the gate for the time of the test (see `gateway.testing`)."""
    with Stub(catalog=llm_catalog) as stub:
        yield stub
