"""`manage.py keys create | list | revoke`: API keys of the HTTP data plane."""

import getpass
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models.functions import Now

from gateway import keys
from gateway.models import AuditEntry, Key


class Command(BaseCommand):
    help = "Make, list and revoke API keys. A key is shown once, when it is made."

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
                _audit("key.create", name, {"features": feature, "tenant": tenant})
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(
            f"Key {name} for {', '.join(feature)}. It is shown this once; the database keeps a hash of it."
        )
        self.stdout.write(key)

    def list(self, **options: Any) -> None:
        for key in Key.objects.all():
            state = (
                "revoked" if key.revoked_at else f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else "in force"
            )
            self.stdout.write(f"{key.name}  {key.prefix}…  {', '.join(key.features)}  {key.tenant}  {state}")

    def revoke(self, *, name: str, **options: Any) -> None:
        with transaction.atomic():
            if not Key.objects.filter(name=name, revoked_at=None).update(revoked_at=Now()):
                raise CommandError(f"There is no key {name!r} in force; `keys list` shows those that there are.")
            _audit("key.revoke", name, {})
        self.stdout.write(f"Key {name} is refused from now on, within a second in every process.")


def _audit(action: str, name: str, detail: dict[str, Any]) -> None:
    AuditEntry.objects.create(actor=getpass.getuser(), action=action, subject=f"key {name}", detail=detail)
