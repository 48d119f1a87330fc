"""Digests in the admin: what is sent to whom and when, what became of the last ones, and sending one now."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone

from budgets.models import Channel
from dashboards.digests.models import Digest, DigestDelivery
from dashboards.digests.plan import reschedule, send_now
from dashboards.models import SavedView
from dashboards.pages.registry import PAGES
from dashboards.pages.saved import usable
from gateway.access import User, tenants_of
from gateway.admin.base import EVERYWHERE, AuditedAdmin, audit, moment
from gateway.admin.fields import LinesField
from gateway.conf import settings
from gateway.worker_beat import silent_s

#: What decides about when it is sent.
SCHEDULE = ("every", "weekday", "day", "hour", "timezone", "active")
MOST_SHOWN = 10
NO_SITE = "Messages have no links, as the setting PUBLIC_URL is empty."
NO_WORKER = "No worker runs, so nothing is sent: keep “manage.py worker” running."


class ViewsField(forms.ModelMultipleChoiceField[SavedView]):
    """Saved views, each with the page that it is of and whose it is."""

    def label_from_instance(self, obj: Any) -> str:
        page = PAGES.get(obj.page)
        return f"{page.title if page else obj.page}: {obj.name} ({obj.owner.get_username()})"


class DigestForm(forms.ModelForm[Digest]):
    views = ViewsField(queryset=SavedView.objects.none(), required=False, widget=forms.CheckboxSelectMultiple)
    emails = LinesField(
        required=False,
        label="Email addresses",
        help_text="One a line. They all see each other's, and what the owner may see.",
    )

    class Meta:
        model = Digest
        fields = [
            "name", "owner", "overview", "views", "own_ranges", "emails", "channel", "every", "weekday", "day", "hour",
            "timezone", "active",
        ]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "views" in self.fields:
            self.fields["views"].help_text = Digest._meta.get_field("views").help_text
        for name in {"owner", "channel"} & self.fields.keys():
            # To choose from: users and channels are set up on their own pages.
            widget: Any = self.fields[name].widget
            widget.can_add_related = widget.can_change_related = widget.can_delete_related = False
        if "owner" in self.fields:
            staff = get_user_model()._default_manager.filter(is_staff=True, is_active=True)
            cast(forms.ModelChoiceField[Any], self.fields["owner"]).queryset = staff
        if "channel" in self.fields:
            cast(forms.ModelChoiceField[Channel], self.fields["channel"]).queryset = Channel.objects.filter(
                kind="slack"
            )

    def offer(self, user: User) -> None:
        """Offers the views that the owner may use; of a new digest that is the user, whose form it is."""
        self.user = user
        owner = self.instance.owner or user
        rows = usable(owner)
        if self.instance.pk and tenants_of(user) is None:
            # Those that the owner may not use any more, so that they are not dropped unseen.
            rows |= SavedView.objects.filter(pk__in=self.instance.views.values("pk"))
        cast(ViewsField, self.fields["views"]).queryset = rows.select_related("owner").order_by("page", "name", "pk")

    def clean_emails(self) -> list[str]:
        found: list[str] = list(dict.fromkeys(self.cleaned_data["emails"]))
        for address in found:
            try:
                validate_email(address)
            except ValidationError:
                raise ValidationError(f"{address[:80]!r} is not an email address.") from None
        return found

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        owner = found.get("owner") or self.instance.owner or self.user
        closed = set(found.get("views") or ()) - set(usable(owner)) if found.get("views") else ()
        for view in closed:
            self.add_error("views", f"{owner} may not use the view {view}: it has to be {owner}'s own, or shared.")
        if not found.get("overview") and not found.get("views") and "views" not in self.errors:
            self.add_error("views", "Choose the overview, or a view: there is nothing to send.")
        channel = found.get("channel") if "channel" in self.fields else self.instance.channel
        if not found.get("emails") and not channel and not {"emails", "channel"} & self.errors.keys():
            self.add_error("emails", "Give an email address or a Slack channel: there is nobody to send it to.")
        return found


@admin.register(Digest)
class DigestAdmin(AuditedAdmin[Digest]):
    about = (
        "Pages of the dashboards sent at set times, with their charts as images. A digest shows what its owner may see when "
        "it is sent; only its owner, or a superuser, changes it."
    )
    form = DigestForm
    list_display = ["name", "when", "shown_next", "last", "to", "owner", "active"]
    list_filter = ["active", "every"]
    list_select_related = ["owner", "channel"]
    search_fields = ["name", "emails"]
    search_help_text = "Name or email address"
    actions = ["send_now"]
    readonly_fields = ["shown_next", "log"]
    fieldsets = [
        ("What it says", {"fields": ["name", "owner", "overview", "views", "own_ranges"]}),
        ("To whom", {"fields": ["emails", "channel"]}),
        ("When", {"fields": ["every", "weekday", "day", ("hour", "timezone"), "active"]}),
        ("How it is", {"fields": ["shown_next", "log"]}),
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Digest]:
        # Of each way the last one that was due.
        rows = DigestDelivery.objects.order_by("digest_id", "way", "-due_at", "-pk").distinct("digest_id", "way")
        latest = models.Prefetch(
            "deliveries", DigestDelivery.objects.filter(pk__in=rows.values("pk")), to_attr="latest"
        )
        return super().get_queryset(request).prefetch_related(latest)

    def get_form(self, request: HttpRequest, obj: Digest | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)

        class Offering(form):  # type: ignore[misc, valid-type]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                if "views" in self.fields:  # not where it is only looked at
                    self.offer(request.user)

        return Offering

    def get_readonly_fields(self, request: HttpRequest, obj: Digest | None = None) -> list[str]:
        found = super().get_readonly_fields(request, obj)
        # A digest shows what its owner may see: who could choose the owner could read what that person may.
        found += [] if request.user.is_superuser else ["owner"]
        return found if request.user.has_perm("tollhouse_budgets.view_channel") else [*found, "channel"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {
            "owner": request.user.pk,
            "timezone": str(timezone.get_current_timezone()),
            **super().get_changeform_initial_data(request),
        }

    def has_change_permission(self, request: HttpRequest, obj: Digest | None = None) -> bool:
        return super().has_change_permission(request, obj) and _own(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Digest | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _own(request, obj)

    def save_model(self, request: HttpRequest, obj: Digest, form: Any, change: bool) -> None:
        if not change and obj.owner_id is None:
            obj.owner_id = request.user.pk
        if not change or set(SCHEDULE) & set(form.changed_data):
            reschedule(obj)
        super().save_model(request, obj, form, change)
        for problem in _problems():
            self.message_user(request, problem, messages.WARNING)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        rows = Digest.views.through.objects.filter(digest=form.instance).order_by("savedview__name", "savedview")
        before = list(rows.values_list("savedview__name", flat=True))
        super().save_related(request, form, formsets, change)
        after = list(rows.values_list("savedview__name", flat=True))
        if before != after:
            audit(request, "change", form.instance, changes={"views": [before, after]})

    @admin.display(description="When", ordering="every")
    def when(self, digest: Digest) -> str:
        on = {"day": "", "week": f" on {digest.get_weekday_display()}", "month": f" on day {digest.day}"}[digest.every]
        return f"{digest.get_every_display()}{on}, {digest.hour:02}:00 {digest.timezone}"

    @admin.display(description="To")
    def to(self, digest: Digest) -> str:
        names = [*digest.emails[:1], *([f"{len(digest.emails) - 1} more"] if len(digest.emails) > 1 else [])]
        return ", ".join([*names, *([f"Slack: {digest.channel}"] if digest.channel else [])])

    @admin.display(description="Next", ordering="next_at")
    def shown_next(self, digest: Digest) -> str:
        if not digest.active or not digest.pk:
            return "–"
        return moment(digest.next_at or digest.schedule.after(timezone.now()))

    @admin.display(description="Last")
    def last(self, digest: Digest) -> str:
        return render_to_string("tollhouse/digests/last.html", {"rows": digest.latest})  # type: ignore[attr-defined]

    @admin.display(description="Latest")
    def log(self, digest: Digest) -> str:
        rows = digest.deliveries.order_by("-due_at", "way")[:MOST_SHOWN] if digest.pk else []
        return render_to_string("tollhouse/digests/log.html", {"rows": rows})

    @admin.action(description="Send now", permissions=["change"], location=EVERYWHERE)
    def send_now(self, request: HttpRequest, queryset: models.QuerySet[Digest]) -> None:
        for digest in queryset[:5]:
            if not _own(request, digest):
                self.message_user(request, f"{digest} is another's: only its owner sends it.", messages.ERROR)
                continue
            send_now(digest, request.user.get_username())
            audit(request, "send", digest)
            self.message_user(request, f"The worker sends {digest} within seconds; its page shows what was answered.")
        for problem in _problems():
            self.message_user(request, problem, messages.WARNING)


def _own(request: HttpRequest, digest: Digest | None) -> bool:
    """Whether the user may decide where the digest goes: what its owner may see is nobody else's to send."""
    return digest is None or request.user.is_superuser or digest.owner_id == request.user.pk


def _problems() -> list[str]:
    silent = silent_s()
    runs = silent is not None and silent <= settings().WORKER_SILENT_AFTER_S
    return [*([] if settings().PUBLIC_URL else [NO_SITE]), *([] if runs else [NO_WORKER])]
