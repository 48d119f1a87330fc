"""SQL that matters, in files beside this one: whole files for migrations, named queries for the ledger."""

import re
from pathlib import Path


def script(name: str) -> str:
    """The text of the file `name`, e.g. `revision.sql`."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def queries(name: str) -> dict[str, str]:
    """The queries of a file, by the name in the line `-- name: …` that opens each."""
    parts = re.split(r"^-- name: (\w+)\n", script(name), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
