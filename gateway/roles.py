"""Roles: groups of permissions for the people who work with the gate.

`ROLES` is the one place that says what a role may do. A migration makes a group for each; after every `migrate` the groups
get what is new here, for models and permissions that came since, too. What an operator changes stays: a permission that was
added to a group by hand is kept, one that was taken away is not brought back, a group that was deleted is not made again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Permission
from django.db import DEFAULT_DB_ALIAS, connections, router, transaction

from gateway.models import Role as Row

GATE, BUDGETS, REDACTION = "tollhouse_gateway", "tollhouse_budgets", "tollhouse_redaction"
#: An app that is not in every project.
DASHBOARDS = "tollhouse_dashboards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a kind of person does with the gate. `may` are permissions as `app.codename`, with `*` for anything."""

    name: str
    about: str
    may: tuple[str, ...]
    but: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The name of the group that a migration makes for it."""
        return f"Tollhouse: {self.name}"

    def has(self, permission: str) -> bool:
        """Whether a permission, as `app.codename`, is one of the role's."""
        fits = any(fnmatchcase(permission, pattern) for pattern in self.may)
        return fits and not any(fnmatchcase(permission, pattern) for pattern in self.but)


def _each(app: str, actions: str, models: str) -> Iterator[str]:
    return (f"{app}.{action}_{model}" for action in actions.split() for model in models.split())


#: What everybody may look at who has a role but finance: what is in use, what it costs, whether it works.
_LOOK = (
    *_each(
        GATE, "view", "call callsum feature route provider price prompt promptversion deployment variant target hold"
    ),
    *_each(GATE, "view", "adjustment owner worker retentionkind retentionrule score step"),
    *_each(BUDGETS, "view", "budget window budgetraise rate ratelimit bucket switch switchtrigger switchfiring"),
    *_each(BUDGETS, "view", "alert delivery forecast"),
    *_each(REDACTION, "view", "redactionpolicy"),
)
#: To collect calls for evals. What the examples say is read as payloads are.
_COLLECT = (*_each(GATE, "view add", "dataset datasetitem"),)
#: What nobody needs to look at: texts as calls had them, encrypted maps and replies. Who may read payloads does so call by call.
_TEXTS = (
    f"{GATE}.*_payload", f"{GATE}.*_cachedreply", f"{REDACTION}.*_sessionmap", f"{GATE}.*_person",
)  # fmt: skip

ROLES = (
    Role(name="viewer", about="Looks at calls, spend, budgets, prompts and alerts, and changes nothing.", may=_LOOK),
    Role(
        name="finance",
        about="Looks at spend, budgets, prices and vendors' bills, exports calls and lists, adds rates, has digests sent.",
        may=(
            *_each(GATE, "view", "call callsum feature price adjustment bill billline"),
            *_each(BUDGETS, "view", "budget window budgetraise rate alert forecast"),
            *_each(BUDGETS, "add", "rate"),
            *_each(GATE, "export", "call configuration"),
            *_each(GATE, "import", "configuration"),
            *_each(DASHBOARDS, "view add change delete", "digest"),
        ),
    ),
    Role(
        name="prompt author",
        about="A viewer who writes, tries and deploys prompt versions, scores calls, keeps them in datasets.",
        may=(
            *_LOOK,
            *_each(GATE, "add", "promptversion"),
            *_each(GATE, "change", "deployment"),
            *_each(GATE, "run", "playground"),
            *_each(GATE, "add", "score"),
            *_COLLECT,
        ),
    ),
    Role(
        name="budget owner",
        about="A viewer who sets budgets and rate limits, raises budgets, switches things off, sees to alerts, has digests sent.",
        may=(
            *_LOOK,
            *_each(BUDGETS, "add change delete", "budget ratelimit switchtrigger"),
            *_each(BUDGETS, "raise", "budget"),
            *_each(BUDGETS, "add change", "switch"),
            *_each(BUDGETS, "acknowledge", "alert"),
            *_each(BUDGETS, "view", "channel alertroute"),
            *_each(DASHBOARDS, "view add change delete", "digest"),
            *_each(GATE, "export import", "configuration"),
        ),
    ),
    Role(
        name="reviewer",
        about="A viewer who reads what calls said, each reading noted in the audit log, scores calls, keeps them in datasets.",
        may=(
            *_LOOK,
            *_each(GATE, "read", "payload"),
            *_each(GATE, "add", "score"),
            *_COLLECT,
            *_each(GATE, "change", "datasetitem"),
        ),
    ),
    Role(
        name="auditor",
        about="Looks at everything but what calls said: the audit log, keys, lists, users and groups, the compliance report.",
        may=(
            "tollhouse_*.view_*",
            *_each("auth", "view", "user group"),
            *_each(GATE, "report", "compliance"),
            *_each(GATE, "export", "call configuration"),
        ),
        but=_TEXTS,
    ),
    Role(
        name="admin",
        about="Does everything, users and their limits included. Such a user can give itself any right.",
        may=("tollhouse_*", *_each("auth", "view add change delete", "user group")),
    ),
)


def keep(app_config: AppConfig, using: str = DEFAULT_DB_ALIAS, **signal: Any) -> None:
    """Brings to the roles' groups the permissions of an app that the roles have since, once each. Runs after `migrate`.

    What a role had brought and has no longer is taken from its group again.
    """
    label = app_config.label
    ours = label.startswith("tollhouse_") or any(name.startswith(f"{label}.") for role in ROLES for name in role.may)
    if not ours or not router.allow_migrate_model(using, Row) or not _has_table(using):
        return
    # Another handler of the same signal makes them; who is first depends on the order of apps.
    create_permissions(app_config, verbosity=0, using=using, apps=signal.get("apps", apps))
    known = _permissions(label, using)
    rows = {row.name: row for row in Row.objects.using(using).select_related("group")}
    for role in ROLES:
        if row := rows.get(role.name):
            _bring(row, {name for name in known if role.has(name)}, known, using)


def _bring(row: Row, wanted: set[str], known: dict[str, Permission], using: str) -> None:
    """Gives the row's group those of the wanted permissions of one app that it was never given, and takes back the rest."""
    given = set(row.given)
    new, gone = wanted - given, given & known.keys() - wanted
    if not new and not gone:
        return
    with transaction.atomic(using=using):
        row.group.permissions.add(*(known[name] for name in new))
        row.group.permissions.remove(*(known[name] for name in gone))
        row.given = sorted((given | new) - gone)
        row.save(using=using, update_fields=["given"])


def _permissions(label: str, using: str) -> dict[str, Permission]:
    found = Permission.objects.using(using).filter(content_type__app_label=label).select_related("content_type")
    return {f"{label}.{permission.codename}": permission for permission in found}


def _has_table(using: str) -> bool:
    """Whether the roles' table is there: `migrate` may have gone back to before it."""
    return Row._meta.db_table in connections[using].introspection.table_names()
