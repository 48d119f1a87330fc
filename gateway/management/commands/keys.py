"""`manage.py keys create | rotate | revoke | list`: API keys of the HTTP data plane."""

import getpass
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from gateway import keys
from gateway.models import AuditEntry, Key


class Command(BaseCommand):
    help = "Make, rotate, revoke and list API keys. A key is shown once, when it is made."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="Make a key and print it, alone on the last line.")
        create.add_argument("name")
        create.add_argument(
            "--feature", action="append", required=True, metavar="GLOB", help="Features it may use; repeatable."
        )
        create.add_argument("--default-feature", default="", help="Used when a request names a model and no feature.")
        create.add_argument("--tenant", default="", help="Bind the key to a tenant.")
        create.add_argument(
            "--expires", default="", metavar="YYYY-MM-DD", help="First day (UTC) on which it no longer works."
        )
        rotate = verbs.add_parser("rotate", help="Give a key a new secret and print it, alone on the last line.")
        rotate.add_argument("name")
        rotate.add_argument(
            "--grace",
            type=hours,
            default=keys.GRACE,
            metavar="HOURS",
            help="How long the old secret works on; 24 hours.",
        )
        verbs.add_parser("list", help="Show keys, without the keys.")
        verbs.add_parser("revoke", help="Refuse a key from now on.").add_argument("name")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        getattr(self, verb)(**options)

    def create(
        self, *, name: str, feature: list[str], default_feature: str, tenant: str, expires: str, **options: Any
    ) -> None:
        try:
            expires_at = datetime.fromisoformat(expires).replace(tzinfo=UTC) if expires else None
        except ValueError:
            raise CommandError(f"--expires {expires!r} is no date; write YYYY-MM-DD.") from None
        try:
            with transaction.atomic():
                key = keys.create(name, feature, default_feature=default_feature, tenant=tenant, expires_at=expires_at)
                _audit("key.create", name, {"values": {"features": feature, "tenant": tenant}})
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(
            f"Key {name} for {', '.join(feature)}. It is shown this once; the database keeps a hash of it."
        )
        self.stdout.write(key)

    def rotate(self, *, name: str, grace: timedelta, **options: Any) -> None:
        try:
            with transaction.atomic():
                row = keys.rotate(name, grace=grace)
                _audit("key.rotate", name, {"previous_until": str(row.previous_until)})
        except keys.CannotRotate as error:
            raise CommandError(str(error)) from None
        except Key.DoesNotExist:
            raise CommandError(f"There is no key {name!r}; `keys list` shows those that there are.") from None
        ends = f"works until {row.previous_until:%Y-%m-%d %H:%M %Z}" if grace else "is refused from now on"
        self.stdout.write(f"Key {name} has a new secret, shown this once; the old one {ends}.")
        self.stdout.write(row.secret)

    def list(self, **options: Any) -> None:
        now = timezone.now()
        for key in keys.with_use(Key.objects.all()):
            state = key.state(now)
            if state == "in force" and key.expires_at:
                state = f"until {key.expires_at:%Y-%m-%d}"
            if key.previous_until and key.previous_until > now:
                state += f", old secret {key.previous_prefix}… until {key.previous_until:%Y-%m-%d %H:%M}"
            used = f"used {key.used_at:%Y-%m-%d %H:%M}" if key.used_at else "never used"
            parts = [key.name, f"{key.prefix}…", ", ".join(key.features), key.tenant, state, used]
            self.stdout.write("  ".join(part for part in parts if part))

    def revoke(self, *, name: str, **options: Any) -> None:
        with transaction.atomic():
            if not keys.revoke(Key.objects.filter(name=name)):
                raise CommandError(f"There is no key {name!r} in force; `keys list` shows those that there are.")
            _audit("key.revoke", name, {})
        self.stdout.write(f"Key {name} is refused from now on, within a second in every process.")


def hours(text: str) -> timedelta:
    """A time from a number of hours. Raises ArgumentTypeError."""
    try:
        found = timedelta(hours=float(text))
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is no number of hours") from None
    if not timedelta(0) <= found <= keys.LONGEST_GRACE:
        raise ArgumentTypeError(f"a grace is 0 to {keys.LONGEST_GRACE.days * 24} hours")
    return found


def _audit(action: str, name: str, detail: dict[str, Any]) -> None:
    AuditEntry.objects.create(actor=getpass.getuser(), action=action, subject=f"key {name}", detail=detail)
