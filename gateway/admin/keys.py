"""Keys of the HTTP data plane: made, rotated, revoked. The key itself is on one answer page, and nowhere after it."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from gateway import keys
from gateway.admin.base import EVERYWHERE, AuditedAdmin, Tool, audit, moment
from gateway.admin.fields import LinesField, NameField
from gateway.models import Feature, Key

HOUR = timedelta(hours=1)
TOLD = ["shown_state", "prefix_shown", "last_used", "old_secret", "created_at", "rotated_at", "revoked_at"]
KIND = {"in force": "good", "expired": "warn", "revoked": "bad"}


class KeyForm(forms.ModelForm[Key]):
    features = LinesField(help_text="Globs of the features it may use, one a line, e.g. support.* or * for all.")
    default_feature = NameField(
        lambda: Feature.objects.values_list("slug", flat=True),
        empty="none",
        help_text="Used when a request names a model and no feature. The globs must match it.",
    )

    class Meta:
        model = Key
        fields = ["name", "features", "default_feature", "tenant", "expires_at"]
        labels = {"expires_at": "Expires"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("default_feature")
        if isinstance(field, NameField):
            field.keep(self.instance.default_feature)


class RotateForm(forms.Form):
    hours = forms.IntegerField(
        label="Hours for which the old secret works on",
        initial=int(keys.GRACE / HOUR),
        min_value=0,
        max_value=int(keys.LONGEST_GRACE / HOUR),
        help_text="Time to give the new secret to every client. 0: the old one is refused at once.",
    )
    #: What the person saw: a page that is sent twice rotates once.
    begins_with = forms.CharField(widget=forms.HiddenInput)


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("in-force", "in force"), ("expired", "expired"), ("revoked", "revoked")]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        expired = models.Q(expires_at__lte=timezone.now())
        match self.value():
            case "in-force":
                return queryset.filter(~expired | models.Q(expires_at=None), revoked_at=None)
            case "expired":
                return queryset.filter(expired, revoked_at=None)
            case "revoked":
                return queryset.filter(revoked_at__isnull=False)
        return queryset


@admin.register(Key)
class KeyAdmin(AuditedAdmin[Key]):
    about = (
        "Keys of the HTTP data plane. A key is shown once, when it is made or rotated, and kept as a keyed hash. Rows name "
        "their key, so one that is no longer wanted is revoked, not deleted."
    )
    form = KeyForm
    fixed = ("name",)
    list_display = ["name", "prefix_shown", "shown_features", "tenant", "shown_state", "expires_at", "last_used"]
    list_filter = [StateFilter]
    search_fields = ["name", "tenant", "prefix"]
    search_help_text = "Name, tenant or first characters"
    actions = ["revoke"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Key]:
        return keys.with_use(super().get_queryset(request))

    def get_fieldsets(self, request: HttpRequest, obj: Key | None = None) -> Any:
        asked = (None, {"fields": ["name", "features", "default_feature", "tenant", "expires_at"]})
        return [asked, ("What became of it", {"fields": TOLD})] if obj else [asked]

    def get_readonly_fields(self, request: HttpRequest, obj: Key | None = None) -> list[str]:
        return [*super().get_readonly_fields(request, obj), *TOLD]

    def has_delete_permission(self, request: HttpRequest, obj: Key | None = None) -> bool:
        return False

    @admin.display(description="Begins with")
    def prefix_shown(self, key: Key) -> str:
        return format_html("<code>{}…</code>", key.prefix)

    @admin.display(description="Features")
    def shown_features(self, key: Key) -> str:
        return ", ".join(key.features)

    @admin.display(description="State")
    def shown_state(self, key: Key) -> str:
        word = key.state(timezone.now())
        return format_html('<span class="th-pill {}">{}</span>', KIND[word], word)

    @admin.display(description="Last used", ordering=models.F("used_at").desc(nulls_last=True))
    def last_used(self, key: Key) -> str:
        used: datetime | None = getattr(key, "used_at", None)
        return moment(used) if used else "never"

    @admin.display(description="Old secret")
    def old_secret(self, key: Key) -> str:
        if key.previous_until is None:
            return "none: the key was not rotated"
        ends = min(filter(None, (key.previous_until, key.expires_at, key.revoked_at)))
        used = getattr(key, "previous_used_at", None)
        return format_html(
            "<code>{}…</code>, {} {}, last used: {}", key.previous_prefix,
            "refused since" if ends <= timezone.now() else "works until", moment(ends), moment(used) if used else "never",
        )  # fmt: skip

    def save_model(self, request: HttpRequest, obj: Key, form: forms.ModelForm[Key], change: bool) -> None:
        if not change:
            keys.renew(obj)
        super().save_model(request, obj, form, change)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        # After a key is made, its page is what counts.
        buttons = {"show_save_and_add_another": False, "show_save_and_continue": bool(object_id)}
        return super().changeform_view(request, object_id, form_url, {**buttons, **(extra_context or {})})

    def response_add(self, request: HttpRequest, obj: Key, post_url_continue: str | None = None) -> HttpResponse:
        return self._show(request, obj)

    def tools(self, request: HttpRequest, obj: Key) -> list[Tool]:
        if not self.has_change_permission(request) or obj.state(timezone.now()) != "in force":
            return []
        return [Tool(label="Rotate", url=reverse("admin:tollhouse_gateway_key_rotate", args=[obj.pk]))]

    def get_urls(self) -> list[URLPattern]:
        rotate = self.admin_site.admin_view(self.rotate_view)
        return [path("<int:pk>/rotate/", rotate, name="tollhouse_gateway_key_rotate"), *super().get_urls()]

    def rotate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks for the grace, then gives the key another secret and shows it."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        key = get_object_or_404(self.get_queryset(request), pk=pk)
        form = RotateForm(request.POST or None, initial={"begins_with": key.prefix})
        if request.method == "POST" and form.is_valid():
            try:
                return self._show(request, self._rotate(request, key, form))
            except keys.CannotRotate as error:
                form.add_error(None, str(error))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Rotate {key}",
            "opts": self.opts,
            "key": key,
            "in_force": key.state(timezone.now()) == "in force",
            "in_grace": key.previous_until is not None and key.previous_until > timezone.now(),
            "last_used": self.last_used(key),
            "old_secret": self.old_secret(key),
            "form": form,
        }
        return TemplateResponse(request, "tollhouse/key_rotate.html", context)

    def _rotate(self, request: HttpRequest, key: Key, form: RotateForm) -> Key:
        with transaction.atomic():
            if Key.objects.select_for_update().get(pk=key.pk).prefix != form.cleaned_data["begins_with"]:
                raise keys.CannotRotate("The key was rotated since this page was opened; look at it again.")
            row = keys.rotate(key.name, grace=form.cleaned_data["hours"] * HOUR)
            audit(request, "rotate", row, previous_until=str(row.previous_until))
        return row

    def _show(self, request: HttpRequest, key: Key) -> HttpResponse:
        # In this answer only: a message would go through a cookie or the session, and so into a store. The admin forbids
        # to keep its pages (`no-store`).
        context = {
            **self.admin_site.each_context(request),
            "title": f"The key {key}",
            "opts": self.opts,
            "key": key,
        }
        return TemplateResponse(request, "tollhouse/key_shown.html", context)

    @admin.action(description="Revoke: refuse it from now on", permissions=["change"], location=EVERYWHERE)
    def revoke(self, request: HttpRequest, queryset: models.QuerySet[Key]) -> None:
        with transaction.atomic():
            found = keys.revoke(queryset)
            for key in found:
                audit(request, "revoke", key)
        self.message_user(request, f"Revoked: {', '.join(map(str, found)) or 'nothing, none was in force'}.")
