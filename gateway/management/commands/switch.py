"""`manage.py switch off | on | list`: kill switches."""

import getpass
from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from budgets.models import Switch
from gateway import switches
from gateway.management import arguments
from gateway.switches import CannotSwitch

SCOPE = "E.g. feature:support.reply, tenant:acme, feature:support.reply,tenant:acme, key:web, model:gpt-4o, everything."


class Command(BaseCommand):
    help = "Switch a feature, tenant, user, cohort, API key, model, provider or everything off, and on again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        off = verbs.add_parser("off", help="Refuse the scope's calls from the next one on, in every process.")
        off.add_argument("scope", help=SCOPE)
        off.add_argument(
            "--reason", type=arguments.reason, required=True, help="Shown to everyone whose call is refused."
        )
        until = off.add_mutually_exclusive_group()
        until.add_argument("--for", dest="lasts", type=lasting, metavar="TIME", help="Lift by itself, e.g. after 2h.")
        until.add_argument(
            "--until", type=moment, metavar="ISO", help="Lift by itself at a time, e.g. 2026-05-01T14:00+02:00."
        )
        off.add_argument("--cut", action="store_true", help="Cut calls and streams off that run already.")
        off.add_argument("--replace", action="store_true", help="Replace the switch in force that has the same scope.")
        on = verbs.add_parser("on", help="Lift the scope's switch: its calls pass again.")
        on.add_argument("scope", help=SCOPE)
        on.add_argument("--reason", type=arguments.reason, required=True, help="Goes into the audit log.")
        listing = verbs.add_parser("list", help="Show the switches in force.")
        listing.add_argument("--all", action="store_true", help="Those of the past, too, newest first.")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        try:
            getattr(self, verb)(**options)
        except CannotSwitch as error:
            raise CommandError(str(error)) from None

    def off(
        self,
        *,
        scope: str,
        reason: str,
        lasts: timedelta | None,
        until: datetime | None,
        cut: bool,
        replace: bool,
        **options: Any,
    ) -> None:
        switch = switches.parse(scope)
        if wrong := switches.unknown(switch.scope, switch.value):
            raise CommandError(wrong)
        switch.reason = reason
        switch.expires_at = switches.database_now() + lasts if lasts else until
        switch.running = Switch.Running.CUT if cut else Switch.Running.FINISH
        if warning := switches.unheard(switch):
            self.stderr.write(self.style.WARNING(warning))
        switches.switch_off(switch, actor=getpass.getuser(), replace=replace)
        until_when = f"until {_when(switch.expires_at)}" if switch.expires_at else "until it is lifted"
        self.stdout.write(f"{switch} is switched off {until_when}.")

    def on(self, *, scope: str, reason: str, **options: Any) -> None:
        wanted = switches.parse(scope)
        same = Switch.objects.filter(scope=wanted.scope, value=wanted.value, tenant=wanted.tenant)
        if not (lifted := switches.lift(same, actor=getpass.getuser(), reason=reason)):
            others = ", ".join(map(str, Switch.objects.in_force())) or "nothing"
            raise CommandError(f"{wanted} is not switched off. Switched off: {others}.")
        self.stdout.write(f"{lifted[0]} is on again.")

    def list(self, *, all: bool, **options: Any) -> None:
        found = Switch.objects.all() if all else Switch.objects.in_force()
        for switch in found:
            ends = switch.lifted_at or switch.expires_at
            parts = [
                str(switch),
                f"off since {_when(switch.set_at)}{f' until {_when(ends)}' if ends else ''}",
                f"by {switch.set_by or 'someone'}",
                switch.reason,
                "cuts calls under way" if switch.running == Switch.Running.CUT else "",
                f"lifted by {switch.lifted_by}: {switch.lift_reason}" if switch.lifted_at else "",
            ]
            self.stdout.write("  ".join(part for part in parts if part))
        if not found:
            self.stdout.write("Nothing is switched off.")


def lasting(text: str) -> timedelta:
    """A time from `2h`, `30m`, `1d12h`. Raises ArgumentTypeError."""
    try:
        return switches.lasting(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def moment(text: str) -> datetime:
    """A time from ISO 8601; one without an offset is in the server's time zone. Raises ArgumentTypeError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time; write e.g. 2026-05-01T14:00+02:00") from None
    return found if found.tzinfo else timezone.make_aware(found)


def _when(at: datetime) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S %Z}"
