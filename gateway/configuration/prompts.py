"""The section `prompts`: a new content makes a new version; `deploy = true` puts it live."""

from typing import Any

from gateway.configuration.document import Place
from gateway.configuration.rows import Change, Rows
from gateway.configuration.schema import SECTIONS, missing
from gateway.configuration.toml import read_fields
from gateway.errors import PromptError
from gateway.models import Feature, PromptVersion
from gateway.prompts.deploy import move
from gateway.prompts.versions import content_of, write


def apply_prompt(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    """Makes the version that the entry describes, unless it exists, and deploys it if the entry says so."""
    slug = str(place[1])
    told = len(rows.document.problems)
    parts = read_fields(rows.document, place, entry)
    if len(rows.document.problems) > told or missing(rows.document, place, parts, SECTIONS["prompts"]):
        return
    feature = rows.find(place, Feature, "slug", slug, "features")
    if feature is None:
        return
    try:
        content = content_of(parts)
    except PromptError as error:
        part = (error.param or "messages").partition(".")[0]
        rows.document.problem((*place, part), f"prompt {slug}: {error}")
        return
    put(rows, feature, content, reason=f"catalog {rows.document.name}"[:500] if entry.get("deploy") else "")


def put(rows: Rows, feature: Feature, content: dict[str, Any], *, reason: str) -> None:
    """Makes the version with this content, unless it exists; with a reason it becomes the only live one."""
    version, new = write(feature, content, origin=PromptVersion.Origin.CATALOG, actor=rows.actor)
    rows.changes.append(Change("+" if new else "=", f"prompt {version}"))
    if reason and (moved := move(version.prompt, {version: 100}, actor=rows.actor, reason=reason)):
        rows.changes.append(Change("~", f"deployment of {feature.slug}", str(moved)))
