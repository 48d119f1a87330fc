"""`manage.py rollups status | check | rebuild`: the sums that dashboards read."""

from argparse import ArgumentParser
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone
from django.utils.dateparse import parse_date

from dashboards.models import RollupState
from dashboards.rollups.build import build, prepare, rebuild
from dashboards.rollups.changes import SQL
from dashboards.rollups.check import differences
from dashboards.rollups.job import holding
from dashboards.rollups.roll import roll


class Command(BaseCommand):
    help = "The sums of calls by hour and day that dashboards read; the worker keeps them up to date."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("status", help="How far they are, what holds them up, and how large they are.")
        verbs.add_parser("check", help="Compare them with the calls, to the nano-dollar; reads every call.")
        anew = verbs.add_parser(
            "rebuild",
            help="Make them anew from the calls, day by day; days whose calls are partly gone stay as they are.",
        )
        anew.add_argument("--since", default="", help="First day, such as 2026-09-01; default: the first with calls.")
        anew.add_argument(
            "--force",
            action="store_true",
            help="Also days whose calls are partly gone: what these came to is forgotten.",
        )

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        # `check` is the name of something else in every command.
        {"status": self._status, "check": self._check, "rebuild": self._rebuild}[verb](options)

    def _status(self, options: dict[str, Any]) -> None:
        state = RollupState.objects.first()
        if state is None:
            raise CommandError("There are none yet. `manage.py worker` makes them.")
        if not state.built:
            upto = f" up to {state.built_until:%Y-%m-%d %H:%M} UTC" if state.built_until else ""
            self.stdout.write(f"They are being built{upto}; a worker goes on with it.")
        self.stdout.write(f"Counted last: {_ago(state.rolled_at)}. Days are those of {state.time_zone}.")
        if (found := holding()) and found[2] > timedelta(minutes=1):
            pid, name, age = found
            self.stdout.write(
                f"They wait for a transaction of {name or 'an unnamed application'} (process {pid}), {age} old."
            )
        with connection.cursor() as cursor:
            cursor.execute(SQL["sizes"], [])
            for name, _, size, rows in cursor.fetchall():
                self.stdout.write(f"{name:40} {size / 1e6:10.1f} MB  about {rows:,} rows")

    def _check(self, options: dict[str, Any]) -> None:
        roll()
        try:
            found = differences()
        except ValueError as error:
            raise CommandError(str(error)) from None
        for one in found:
            gone = "  (calls are gone, by retention)" if one.gone else ""
            self.stdout.write(
                f"{one.day:%Y-%m-%d}  {one.kind} by {one.grain}: {_sums(one.counted)}; calls: {_sums(one.calls)}{gone}"
            )
        if wrong := sum(not one.gone for one in found):
            raise CommandError(f"{wrong} sums are wrong: run `manage.py rollups rebuild --since DAY`, and tell us.")
        self.stdout.write("They equal the calls, to the nano-dollar.")

    def _rebuild(self, options: dict[str, Any]) -> None:
        since = _day(options["since"]) if options["since"] else None
        prepare()
        built = build(self._tell)
        if not built.days:
            built = rebuild(since, force=options["force"], progress=self._tell)
        roll()
        if built.kept:
            days = ", ".join(f"{timezone.localtime(day):%Y-%m-%d}" for day in built.kept)
            self.stdout.write(f"Stayed as they were, as calls of them are gone: {days}.")
        self.stdout.write(f"{built.days} days were built.")

    def _tell(self, day: datetime) -> None:
        if self.stdout.isatty():
            self.stdout.write(f"\r{timezone.localtime(day):%Y-%m-%d}", ending="")
            self.stdout.flush()


def _day(text: str) -> datetime:
    try:
        found = parse_date(text)
    except ValueError:
        found = None
    if found is None:
        raise CommandError(f"{text!r} is no day: write it as in 2026-09-01.")
    return timezone.make_aware(datetime(found.year, found.month, found.day))


def _ago(at: datetime | None) -> str:
    return f"{timezone.now() - at} ago" if at else "never"


def _sums(sums: tuple[int, int, int]) -> str:
    calls, nano, tokens = sums
    return f"{calls} calls, {nano / 1e9:.9f} USD, {tokens} tokens"
