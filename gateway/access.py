"""What a user may see of the rows: those of all tenants, or of some.

Permissions say which kinds of rows somebody may look at or change; limits say whose. A user without a limit, and every
superuser, sees all tenants. One who is limited (`TenantLimit`) sees of each model

- the rows that name one of those tenants, where the model is in `ROWS`; these may be changed, as far as permissions go;
- all rows, to look at, where it is in `SHARED`: configuration that is nobody's;
- the rows that are the user's own, where it is in `OWNED`; these may be changed, too;
- nothing at all of any other model of ours, nor of users and groups: what is new is closed until it is put into a table.

`visible` applies this to a queryset, and everything that shows rows goes through it. `TenantLimits`, an authentication backend,
takes the permissions away that a limited user cannot have, so that no page has to think of it.
"""

from collections.abc import Callable
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, PermissionsMixin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Q

from budgets.models import (
    Alert,
    Bucket,
    Budget,
    BudgetRaise,
    Delivery,
    Rate,
    RateLimit,
    Switch,
    Window,
)
from budgets.scopes import join_value
from gateway.models import (
    Call,
    CallSum,
    Dataset,
    DatasetItem,
    Deployment,
    Export,
    Feature,
    Hold,
    Key,
    Payload,
    Price,
    PromptVersion,
    Provider,
    Route,
    Score,
    Step,
    Target,
    TenantLimit,
)
from redaction.models import RedactionList, RedactionPolicy

User = PermissionsMixin | AnonymousUser
Tenants = frozenset[str]
#: Where the limits of a user are kept, for one request.
_KEPT = "_tollhouse_tenants"


def tenants_of(user: User) -> Tenants | None:
    """The tenants whose rows the user may see; None: all of them. Asks the database once for each instance of a user."""
    if not hasattr(user, _KEPT):
        setattr(user, _KEPT, _tenants_of(user))
    return cast("Tenants | None", getattr(user, _KEPT))


def _tenants_of(user: User) -> Tenants | None:
    if isinstance(user, AnonymousUser) or user.is_superuser:
        return None
    limits = TenantLimit.objects.filter(Q(user=user.pk) | Q(group__in=user.groups.values("pk")))
    found = list(limits.values_list("tenants", flat=True))
    return frozenset(tenant for tenants in found for tenant in tenants) if found else None


def visible[Rows: models.QuerySet[Any, Any]](rows: Rows, user: User) -> Rows:
    """Those of the rows that belong to tenants whom the user may see."""
    tenants = tenants_of(user)
    if tenants is None:
        return rows
    model = rows.model
    if model in SHARED:
        return rows.filter(SHARED[model])
    if model in OWNED:
        return rows.filter(**{OWNED[model]: user.pk})
    return rows.filter(ROWS[model](tenants)) if model in ROWS else rows.none()


def visible_calls(user: User) -> models.QuerySet[Call]:
    """The calls of tenants whom the user may see."""
    return visible(Call.objects.all(), user)


def may_name(user: User, model: type[models.Model], values: dict[str, Any]) -> bool:
    """Whether a row with these values would be one of a tenant of the user, who therefore may make it so."""
    tenants = tenants_of(user)
    return tenants is None or model in OWNED or (model in NAMED and NAMED[model](values) in tenants)


def _tenant(tenants: Tenants) -> Q:
    return Q(tenant__in=tenants)


def _of_budget(tenants: Tenants) -> Q:
    """Rows of a tenant's budget, and of a budget for each tenant those of its own value."""
    own = Q(budget__tenant__in=tenants) | Q(budget__each=["tenant"], value__in=tenants)
    for tenant in tenants:
        # Of two fields a value is a JSON list: no quote in it is bare but those around the two.
        first, second = join_value([tenant, ""])[:-3], join_value(["", tenant])[3:]
        own |= Q(budget__each__len=2, budget__each__0="tenant", value__startswith=first)
        own |= Q(budget__each__len=2, budget__each__1="tenant", value__endswith=second)
    return own


def _of_switch(tenants: Tenants) -> Q:
    return Q(tenant__in=tenants) | Q(scope=Switch.Scope.TENANT, value__in=tenants)


#: Models whose rows name a tenant, and which rows are of these.
ROWS: dict[type[models.Model], Callable[[Tenants], Q]] = {
    Call: _tenant,
    CallSum: _tenant,
    DatasetItem: _tenant,
    Export: lambda tenants: Q(tenants__contained_by=list(tenants)),
    Score: _tenant,
    Step: _tenant,
    Payload: lambda tenants: Q(pk__in=Call.objects.filter(tenant__in=tenants).values("pk")),
    Hold: lambda tenants: Q(draft__tenant__in=list(tenants)),
    Key: _tenant,
    Budget: _tenant,
    BudgetRaise: _of_budget,
    Window: _of_budget,
    RateLimit: _tenant,
    Bucket: lambda tenants: Q(rate_limit__tenant__in=tenants) | Q(rate_limit__each="tenant", value__in=tenants),
    Switch: _of_switch,
    Alert: _tenant,
    Delivery: lambda tenants: Q(alert__tenant__in=tenants),
    RedactionList: _tenant,
}
#: Models whose rows are nobody's, and which of them a limited user may look at. What calls brought themselves is not shown.
SHARED: dict[type[models.Model], Q] = {
    **dict.fromkeys((Dataset, Deployment, Feature, Price, Provider, Rate, RedactionPolicy, Route, Target), Q()),
    PromptVersion: ~Q(origin=PromptVersion.Origin.OBSERVED),
}
#: Models of which each row is a person's, and the field that names the person. Other apps add theirs when they are ready.
OWNED: dict[type[models.Model], str] = {}
#: Of what a person may add: the tenant that a row with these values is of.
NAMED: dict[type[models.Model], Callable[[dict[str, Any]], str]] = {
    **dict.fromkeys(
        (Budget, DatasetItem, Key, RateLimit, RedactionList, Score), lambda values: values.get("tenant") or ""
    ),
    Switch: lambda values: (values.get("value") if values.get("scope") == "tenant" else values.get("tenant")) or "",
}


class TenantLimits:
    """Takes permissions away from users who are limited to tenants. Stands before other backends in AUTHENTICATION_BACKENDS.

    It knows no users, and so has no `get_user`: sessions are those of the other backends.
    """

    def authenticate(self) -> None:
        """Fits no credentials, so Django asks the next backend."""

    def has_perm(self, user_obj: Any, perm: str, obj: models.Model | None = None) -> bool:
        """Never grants; raises PermissionDenied, which ends the question, for what a limited user cannot have."""
        if tenants_of(user_obj) is not None and not _open_to_limited(perm):
            raise PermissionDenied
        return False

    async def ahas_perm(self, user_obj: Any, perm: str, obj: models.Model | None = None) -> bool:
        """The same, for asynchronous views."""
        return await sync_to_async(self.has_perm)(user_obj, perm, obj)


def is_installed() -> bool:
    """Whether limits take permissions away: without the backend they narrow rows down alone."""
    return next(iter(settings.AUTHENTICATION_BACKENDS), "") == f"{__name__}.{TenantLimits.__name__}"


def _open_to_limited(perm: str) -> bool:
    label, _, codename = perm.partition(".")
    action, _, name = codename.rpartition("_")
    if not label.startswith("tollhouse_"):
        # Other apps' rows are theirs to guard; but who may change users could lift a limit, and the admin's log names rows.
        user = get_user_model()._meta
        return label not in {"auth", "admin"} and (label, name) != (user.app_label, user.model_name)
    try:
        model = apps.get_model(label, name)
    except LookupError:
        return False
    return model in ROWS or model in OWNED or (model in SHARED and action == "view")
