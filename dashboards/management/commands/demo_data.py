"""`manage.py demo_data`: traffic to try the pages with."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from dashboards.demo.load import NotNow, load, remove

WIDTH = 30


class Command(BaseCommand):
    help = (
        "Make believable traffic to try the dashboards with: features, tenants, users, budgets, alerts, and a few incidents. "
        "For a database of its own; with --remove it takes all of it out again but features, providers and prompts."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days", type=int, default=90, help="How many days, up to the last full hour; default: 90."
        )
        parser.add_argument("--calls", type=int, default=1_000_000, help="How many calls; default: 1000000.")
        parser.add_argument("--seed", type=int, default=1, help="Another number makes other calls; default: 1.")
        parser.add_argument(
            "--force", action="store_true", help="Although there are real calls, among which they count."
        )
        parser.add_argument("--remove", action="store_true", help="Take the demo out.")

    def handle(self, *args: Any, **options: Any) -> None:
        self._began = time.monotonic()
        if options["remove"]:
            count = remove(self._tell)
            self.stdout.write(f"{count:,} calls of the demo were removed.")
            return
        if not (1 <= options["days"] <= 400 and 1 <= options["calls"] <= 100_000_000):
            raise CommandError("Give --days from 1 to 400, and --calls from 1 to 100000000.")
        try:
            count = load(**{name: options[name] for name in ("days", "calls", "seed", "force")}, tell=self._tell)
        except NotNow as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{count:,} calls were made in {time.monotonic() - self._began:.0f} s.")

    def _tell(self, what: str, share: float) -> None:
        if self.stdout.isatty():
            bar = "#" * round(WIDTH * share)
            end = "\n" if share >= 1 else ""
            took = time.monotonic() - self._began
            self.stdout.write(f"\r[{bar:{WIDTH}}] {share:4.0%}  {took:4.0f} s  {what:24}", ending=end)
            self.stdout.flush()
