"""`manage.py compliance report`: what runs here, who gets data, what is redacted and kept, for a reader outside."""

import getpass
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gateway.compliance.report import FORMATS, issue, make


class Command(BaseCommand):
    help = "Write the compliance report: features, prompt versions, subprocessors, redaction, retention, who reads payloads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        report = verbs.add_parser(
            "report", help="Write the report, as it is true now; its making is an entry of the audit log."
        )
        report.add_argument("--format", choices=tuple(FORMATS), default="markdown", help="Default: markdown.")
        report.add_argument("--output", type=Path, metavar="FILE", help="Where to write it. Default: standard output.")

    def handle(self, *args: Any, verb: str, format: str, output: Path | None, **options: Any) -> None:
        if format == "pdf" and output is None and sys.stdout.isatty():
            raise CommandError("A PDF is no text for a terminal; say where to write it with --output FILE.")
        report = make(getpass.getuser())
        if output is None and format == "pdf":
            sys.stdout.buffer.write(issue(report, format))
            return
        if output is None:
            self.stdout.write(issue(report, format).decode(), ending="")
            return
        try:
            with output.open("wb") as file:
                file.write(issue(report, format))
        except OSError as error:
            raise CommandError(f"The report cannot be written to {output}: {error.strerror}.") from None
        self.stdout.write(f"Written to {output}; the hash of its facts is {report.hash}")
