"""Making a report: the facts, their hash, when it was made and by whom; every report that leaves is an audit entry."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from gateway.compliance.facts import Facts, gather
from gateway.compliance.markdown import markdown
from gateway.compliance.sections import Section, sections
from gateway.models import AuditEntry, RetentionKind
from gateway.prompts.address import address

ACTION = "compliance.report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report. `hash` is of the facts alone; what else there is tells of the moment in which it was made."""

    facts: Facts
    hash: str
    made_at: datetime
    made_by: str
    removed_at: datetime | None

    @property
    def sections(self) -> list[Section]:
        """What a reader is shown, in order."""
        return sections(
            self.facts, hash=self.hash, made_at=self.made_at, made_by=self.made_by, removed_at=self.removed_at
        )


def make(by: str) -> Report:
    """A report on what there is now, all of it in one state of the database."""
    inside = connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        if not inside:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        facts = gather()
        ran = RetentionKind.objects.exclude(ran_at=None).order_by("ran_at").values_list("ran_at", flat=True).first()
    return Report(facts=facts, hash=address(facts), made_at=timezone.now(), made_by=by, removed_at=ran)


def _markdown(report: Report) -> bytes:
    return markdown(report.sections).encode()


def _pdf(report: Report) -> bytes:
    # What writes PDF takes long to load and much memory, so only whoever asks for one pays for it.
    from gateway.compliance.pdf import pdf

    return pdf(report.sections)


@dataclass(frozen=True, slots=True)
class Format:
    """A form in which a report leaves."""

    suffix: str
    content_type: str
    write: Callable[[Report], bytes]


FORMATS = {
    "markdown": Format("md", "text/markdown; charset=utf-8", _markdown),
    "pdf": Format("pdf", "application/pdf", _pdf),
}


def issue(report: Report, format: str) -> bytes:
    """The report in one of the `FORMATS`, noted in the audit log with its hash."""
    written = FORMATS[format].write(report)
    AuditEntry.objects.create(
        actor=report.made_by, action=ACTION, subject="compliance report", detail={"hash": report.hash, "format": format}
    )
    return written
