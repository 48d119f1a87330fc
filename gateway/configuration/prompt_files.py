"""Prompts kept as files: one `SLUG.toml` for each in a folder, pulled from the database and pushed to it."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from django.db import transaction

from gateway.configuration.document import Document, Problem
from gateway.configuration.prompts import put
from gateway.configuration.rows import Change, Rows
from gateway.models import AuditEntry, Feature, PromptVersion, Variant
from gateway.prompts.address import address
from gateway.prompts.text import dumps, loads


class Refused(Exception):
    """Nothing was done. `problems` says why."""

    def __init__(self, problems: Iterable[Problem | str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def pull(folder: Path, slugs: Iterable[str], show: Callable[[str], None]) -> None:
    """Writes the live version of these prompts (none named: of all) into the folder; of a split, the largest share.

    Where nothing is live it is the newest version. A file that makes the version already stays as it is, comments and
    all. Raises Refused, before anything is written, for prompts that do not exist or cannot be written exactly.
    """
    wanted = set(slugs)
    found = {slug: entry for slug, entry in _current().items() if not wanted or slug in wanted}
    problems: list[Problem | str] = [
        f"There is no prompt {slug!r} with a version of its own." for slug in sorted(wanted - set(found))
    ]
    texts = {slug: dumps(version.content, comment=f"{version}, {state}") for slug, (version, state) in found.items()}
    for slug, (version, _) in found.items():
        if _address_of(Document(slug, texts[slug])) != version.address:
            problems.append(f"{version} cannot be written as a file that makes it again; push a new version of it.")
    if problems:
        raise Refused(problems)
    folder.mkdir(parents=True, exist_ok=True)
    for slug, (version, state) in sorted(found.items()):
        path = folder / f"{slug}.toml"
        if path.exists() and _address_of(Document.read(str(path))) == version.address:
            show(f"= {path}")
            continue
        show(f"{'~' if path.exists() else '+'} {path}: {version}, {state}")
        unfinished = path.with_suffix(".toml.new")
        unfinished.write_text(texts[slug], encoding="utf-8", newline="\n")
        os.replace(unfinished, path)


def push(folder: Path, *, actor: str, deploy: str, dry_run: bool, show: Callable[[list[Change]], None]) -> None:
    """Makes a version of each file's content that is new, in one transaction, after `show` was given the plan.

    `deploy` is the reason why they go live; empty: they do not. With `dry_run` nothing is kept. Raises Refused with all
    that is wrong, each with file and line; nothing is done then.
    """
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise Refused([f"{folder} has no files named after features, such as support.reply.toml."])
    documents = [Document.read(str(path)) for path in files]
    with transaction.atomic():
        changes: list[Change] = []
        for path, document in zip(files, documents, strict=True):
            rows = Rows(document, actor)
            content = loads(document)
            feature = Feature.objects.filter(slug=path.stem).first()
            if feature is None:
                document.problem((), f"There is no feature {path.stem!r}; the file is named after its feature.")
            if feature and content:
                put(rows, feature, content, reason=deploy)
            changes += rows.changes
        if problems := [problem for document in documents for problem in document.problems]:
            transaction.set_rollback(True)
            raise Refused(problems)
        show(changes)
        changed = [str(change) for change in changes if change.kind != "="]
        if changed and not dry_run:
            AuditEntry.objects.create(
                actor=actor,
                action="prompts.push",
                subject=str(folder)[-255:],
                reason=deploy,
                detail={"changes": changed},
            )
        transaction.set_rollback(dry_run)


def _current() -> dict[str, tuple[PromptVersion, str]]:
    """For each prompt the version that its file holds, and what is to be said of it."""
    newest = PromptVersion.objects.exclude(origin=PromptVersion.Origin.OBSERVED).order_by("created_at", "id")
    found = {str(v.prompt): (v, "not live") for v in newest.select_related("prompt__feature")}
    variants = Variant.objects.select_related("version__prompt__feature").order_by("weight", "-version__address")
    totals: dict[str, int] = {}
    for variant in variants:
        slug = str(variant.version.prompt)
        totals[slug] = totals.get(slug, 0) + variant.weight
        found[slug] = (variant.version, str(variant.weight))
    for slug, total in totals.items():
        version, weight = found[slug]
        whole = weight == str(total)
        found[slug] = (version, "live" if whole else f"live with the largest share of a split, {weight} of {total}")
    return found


def _address_of(document: Document) -> str:
    content = loads(document)
    return address(content) if content else ""
