"""`manage.py retention run`: removes what has expired, or says what would go."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from gateway.retention import remove
from gateway.retention.remove import Step


class Command(BaseCommand):
    help = "Remove rows that have expired, as the worker does every few minutes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        run = verbs.add_parser("run", help="Remove what has expired and is not under a legal hold.")
        run.add_argument("--dry-run", action="store_true", help="Say what would go, and why; remove nothing.")

    def handle(self, *args: Any, verb: str, dry_run: bool, **options: Any) -> None:
        if dry_run:
            steps = remove.plan()
            for kind in {step.kind: None for step in steps}:
                self.stdout.write(f"{kind}: {remove.kept_for(kind)}")
                for step in (step for step in steps if step.kind == kind):
                    self.stdout.write(f"  {_says(step)}")
            if not steps:
                self.stdout.write("Nothing has expired.")
            return
        done = remove.remove()
        for kind, counts in done.items():
            self.stdout.write(f"{kind}: {', '.join(f'{count} {what}' for what, count in counts.items())} removed")


def _says(step: Step) -> str:
    when = f"made {step.start:%Y-%m-%d} to {step.end:%Y-%m-%d}, " if step.start and step.end else ""
    held = f"; {step.held} stay, under a legal hold" if step.held else ""
    if step.fate == "drop":
        return f"drop {step.name}: {when}all {step.rows} rows have expired"
    why = "has rows that stay" if step.start else "has no partitions"
    return f"delete {step.rows} rows of {step.name}: {when}expired; it {why}{held}"
