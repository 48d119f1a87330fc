"""Channels and routes of alerts in a catalog file. Secrets of channels stand in variables; a file has none of them."""

import os
from typing import Any

from budgets.channels import KINDS, channel
from budgets.models import AlertRoute, Channel
from gateway import alerting
from gateway.configuration.document import Place
from gateway.configuration.rows import Change, Rows
from gateway.configuration.schema import SECTIONS, missing
from gateway.configuration.toml import plain


def apply_channel(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    name = str(place[1])
    row = Channel.objects.filter(name=name).first() or Channel(name=name)
    if row._state.adding and missing(rows.document, place, entry, SECTIONS["channels"]):
        return
    if (kind := entry.get("kind", row.kind)) not in KINDS:
        rows.document.problem((*place, "kind"), f"The kind {kind!r} is not known; there are: {', '.join(KINDS)}.")
        return
    values = dict(entry)
    if "config" in values:
        values["config"] = plain(values["config"])
    if values.get("fallback"):
        values["fallback"] = _channel(rows, (*place, "fallback"), values["fallback"])
        if values["fallback"] is None:
            return
    elif "fallback" in values:
        values["fallback"] = None
    moved = kind != row.kind or values.get("config", row.config) != row.config
    if moved and row.secret_encrypted and not values.get("secret_env"):
        told = (
            f"channel {name}: the stored secret is for the settings so far; give secret_env, or change it in the admin."
        )
        rows.document.problem(place, told)
        return
    try:
        _check(kind, values.get("config", row.config), values.get("secret_env", row.secret_env), row)
    except ValueError as error:
        if values.get("secret_env", row.secret_env) or row.secret_encrypted:
            rows.document.problem(place, f"channel {name}: {error}")
            return
        # An exported file has no secrets, and makes the rest of the channel all the same.
        rows.changes.append(Change("!", f"channel {name}", f"has no secret yet. {error}"))
    if values.get("secret_env"):
        row.secret_encrypted = ""
    rows.save(place, row, values, f"channel {name}")


def _check(kind: str, config: dict[str, Any], variable: str, row: Channel) -> None:
    if variable:
        alerting.check_variable(variable)
        # Where the file is applied it may be unset; the worker says so where it is needed.
        secret = os.environ.get(variable, "")
        if not secret:
            return
    else:
        secret = alerting.secret(row)
    channel(kind).check(config, secret)


def _channel(rows: Rows, place: Place, name: str) -> Channel | None:
    """The channel of that name, as the database or the file above has it; notes the problem when there is none."""
    found = Channel.objects.filter(name=name).first()
    if found is None:
        rows.document.problem(
            place, f"There is no {name!r} in channels; write [channels.{name}] before what refers to it."
        )
    return found


def apply_alert_route(rows: Rows, place: Place, entry: dict[str, Any]) -> None:
    if "name" not in entry:
        missing(rows.document, place, entry, SECTIONS["alert_routes"])
        return
    name = entry["name"]
    row = AlertRoute.objects.filter(name=name).first() or AlertRoute(name=name)
    if row._state.adding and missing(rows.document, place, entry, SECTIONS["alert_routes"]):
        return
    values = {key: value for key, value in entry.items() if key != "channels"}
    if row._state.adding:
        values.setdefault("position", int(place[1]))
    before = sorted(c.name for c in row.channels.all()) if row.pk else []
    chosen = [_channel(rows, (*place, "channels"), name) for name in entry.get("channels", before)]
    if None in chosen:
        return
    after = sorted(c.name for c in chosen if c)
    extra = f"channels {', '.join(before)} → {', '.join(after)}" if row.pk and before != after else ""
    if rows.save(place, row, values, f"alert route {name}", extra=extra):
        row.channels.set([c for c in chosen if c])


def channels() -> dict[str, dict[str, Any]]:
    """The channels for a file, each after the one that it falls back to."""
    found: dict[str, dict[str, Any]] = {}
    rows = list(Channel.objects.select_related("fallback"))
    while rows:
        ready = [row for row in rows if row.fallback is None or row.fallback.name in found] or rows
        for row in ready:
            given = {
                "kind": row.kind,
                "config": row.config,
                "secret_env": row.secret_env,
                "fallback": row.fallback.name if row.fallback else "",
            }
            found[row.name] = {**{k: v for k, v in given.items() if v}, **({} if row.active else {"active": False})}
        rows = [row for row in rows if row not in ready]
    return found


def stored_secrets() -> list[str]:
    return list(Channel.objects.exclude(secret_encrypted="").values_list("name", flat=True))


def alert_routes() -> list[dict[str, Any]]:
    return [_route(row) for row in AlertRoute.objects.prefetch_related("channels")]


def _route(row: AlertRoute) -> dict[str, Any]:
    given = {
        "name": row.name,
        "position": row.position,
        "severity": row.severity,
        "kinds": row.kinds,
        "features": row.features,
        "tenants": row.tenants,
        "channels": [channel.name for channel in row.channels.all()],
        "goes_on": row.goes_on,
        "quiet_from": row.quiet_from,
        "quiet_until": row.quiet_until,
        "quiet_timezone": row.quiet_timezone if row.quiet_from else "",
    }
    kept = {name: value for name, value in given.items() if value not in ("", None, [], False)}
    return {**kept, "breaks_through": row.breaks_through, "active": row.active}
