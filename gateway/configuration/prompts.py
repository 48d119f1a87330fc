"""The section `prompts`: a new content makes a new version; `deploy = true` puts it live."""

from typing import Any

from django.db.models.functions import Now

from gateway.configuration.document import Place, plain
from gateway.configuration.rows import Change, Rows
from gateway.configuration.schema import SECTIONS, missing
from gateway.errors import PromptError
from gateway.models import AuditEntry, Deployment, Feature, Prompt, PromptVersion, Variant
from gateway.prompts.address import address
from gateway.prompts.template import Template


def apply_prompt(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    """Makes the version that the entry describes, unless it exists, and deploys it if the entry says so."""
    slug = str(place[1])
    if missing(rows.document, place, entry, SECTIONS["prompts"]):
        return
    feature = rows.find(place, Feature, "slug", slug, "features")
    if feature is None:
        return
    content = plain(
        {name: entry[name] for name in ("messages", "tools", "response_format", "parameters") if name in entry}
    )
    try:
        content["variables"] = sorted(Template(content["messages"]).variables)
        name = address(content)
    except (PromptError, ValueError) as error:
        rows.document.problem((*place, "messages"), f"prompt {slug}: {error}")
        return
    prompt, _ = Prompt.objects.get_or_create(feature=feature)
    version, new = PromptVersion.objects.get_or_create(
        prompt=prompt, address=name,
        defaults={"content": content, "origin": PromptVersion.Origin.CATALOG, "created_by": rows.actor},
    )  # fmt: skip
    rows.changes.append(Change("+" if new else "=", f"prompt {version}"))
    if entry.get("deploy"):
        moved = deploy(version, actor=rows.actor, reason=f"catalog {rows.document.name}")
        if moved:
            rows.changes.append(Change("~", f"deployment of {slug}", moved))


def deploy(version: PromptVersion, *, actor: str, reason: str) -> str:
    """Makes the version the only live one of its prompt; says from what to what it moved, or nothing if it was."""
    deployment, _ = Deployment.objects.get_or_create(prompt=version.prompt)
    before = [f"{v.version.short} ({v.weight})" for v in deployment.variants.select_related("version")]
    live = list(deployment.variants.values_list("version_id", flat=True))
    if live == [version.pk]:
        return ""
    deployment.variants.all().delete()
    Variant.objects.create(deployment=deployment, version=version)
    Deployment.objects.filter(pk=deployment.pk).update(moved_at=Now(), moved_by=actor, reason=reason[:500])
    moved = f"{', '.join(before) or 'nothing'} → {version.short}"
    AuditEntry.objects.create(
        actor=actor, action="deployment.move", subject=str(version.prompt), reason=reason[:500],
        detail={"from": before, "to": [version.address]},
    )  # fmt: skip
    return moved
