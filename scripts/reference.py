"""Writes `docs/reference/` from the code: Python names, settings, errors, headers, commands, fields of catalog files.

    python scripts/reference.py            writes the pages
    python scripts/reference.py --check    ends with 1, and says what to do, where they are not what the code says

What the code does not say about a name (an environment variable, a header) is said in `reference_words.py`, and a name that is
in one and not in the other is an error: a new one cannot be forgotten.
"""

import argparse
import ast
import inspect
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from reference_words import ANSWER_HEADERS, COMMANDS, FIELDS, ORDINARY, REQUEST_HEADERS, VARIABLES

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "docs" / "reference"
MADE = "<!-- Made by scripts/reference.py from the code; do not edit. -->"


class Incomplete(Exception):
    """A name without a description, or a description without its name."""


def settings_page() -> str:
    """Entries of TOLLHOUSE with their comments, and the variables that `deploy/` reads."""
    from gateway.conf import TollhouseSettings

    said = _comments(ROOT / "gateway" / "conf.py")
    rows = [
        (f"`{name}`", _type(kind), _default(getattr(TollhouseSettings, name)), said[name])
        for name, kind in get_type_hints(TollhouseSettings).items()
    ]
    _same("variables of deploy/", _variables(), VARIABLES)
    return _page(
        "Settings",
        "One dict, `TOLLHOUSE`, in Django's settings. With `deploy/settings.py` each entry can be set by an environment "
        "variable, `TOLLHOUSE_<NAME>`, lists with commas; a wrong value stops the start with one line.",
        _table(("entry", "type", "default", "what"), rows),
        "## Environment variables\n\nRead by `deploy/settings.py` and `make up`; a project of your own has its own settings.",
        _table(("variable", "what"), [(f"`{name}`", text) for name, text in VARIABLES.items()]),
    )


def python_page() -> str:
    """The public names of `gateway`, with signatures and docstrings."""
    import gateway

    parts = []
    for name in sorted(gateway.__all__, key=lambda name: (name[0].isupper(), name)):
        found = getattr(gateway, name)
        lines = inspect.getsource(found).splitlines()
        [node] = ast.parse("\n".join(lines)).body
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        body = [line for line in node.body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))]
        if isinstance(node, ast.ClassDef):
            shown = [ast.unparse(line) for line in body if isinstance(line, ast.AnnAssign)]
        else:
            shown = [line.removesuffix(":") for line in lines[node.lineno - 1 : node.body[0].lineno - 1]]
        code = "```text\n" + "\n".join(shown) + "\n```" if shown else ""
        parts += [f"## {name}", *filter(None, [code, inspect.getdoc(found) or ""])]
    return _page(
        "Python",
        "`import gateway`; everything else in the package may change without notice, but for [`gateway.errors`](errors.md), "
        "[`gateway.testing`](../testing.md), `gateway.middleware.ContextMiddleware` and `gateway.http.app.data_plane`.",
        *parts,
    )


def errors_page() -> str:
    """The classes of `gateway.errors`, what they are over HTTP, and what their rows say."""
    from gateway import errors
    from gateway.http.errors import NO_RETRY, STATUS

    rows = []
    for name, found in vars(errors).items():
        if not (inspect.isclass(found) and issubclass(found, errors.GatewayError)):
            continue
        status, kind = next((STATUS[cls] for cls in found.__mro__ if cls in STATUS), (500, "server_error"))
        asked = "no" if issubclass(found, NO_RETRY) else ""
        what = " ".join((inspect.getdoc(found) or "").split())
        rows.append(
            (
                f"`{name}`",
                f"`{found.code}`",
                str(status),
                f"`{kind}`",
                found.outcome and f"`{found.outcome}`",
                asked,
                what,
            )
        )
    return _page(
        "Errors",
        "Python code gets an exception of `gateway.errors`, each with a `message`, a `code` and the `call_id` of its row "
        "(None where no row was written). Over HTTP the same is an error body in the shape of the endpoint, for OpenAI's "
        '`{"error": {"message", "type", "code", "param"}}`; a provider\'s own status and body are kept where it gave one. '
        "Where *retry* says no, the answer has `x-should-retry: false`: another try cannot help until a person acts.",
        _table(("exception", "code", "status", "type", "outcome of the row", "retry", "what"), rows),
        "In a stream that has begun, an error is its last event. A fault of the gate itself is a 500 with the code "
        f"`{errors.GatewayError.code}`; the server's log says what happened.",
        "## Which is a kind of which",
        "```text\n" + inspect.cleandoc((errors.__doc__ or "").split("\n\n")[1]) + "\n```",
    )


def headers_page() -> str:
    """Headers that the data plane reads and writes."""
    read, written = _headers()
    _same("request headers of gateway/http", read, REQUEST_HEADERS)
    _same("headers of answers of gateway/http", written - ORDINARY, ANSWER_HEADERS)
    return _page(
        "Headers",
        "Of the [data plane](../http.md). Names are not case-sensitive.",
        "## Requests",
        _table(("header", "what"), [(f"`{_cased(name)}`", text) for name, text in REQUEST_HEADERS.items()]),
        "## Answers",
        _table(("header", "what"), [(f"`{_cased(name)}`", text) for name, text in ANSWER_HEADERS.items()]),
    )


def metrics_page() -> str:
    """The metrics, with both of their names."""
    from gateway.telemetry.names import METRICS
    from gateway.telemetry.prometheus import name_of

    rows = [
        (f"`{metric.name}`", f"`{name_of(metric)}`", metric.kind, metric.unit.strip("{}"),
         metric.description + (f" With the dialect `{metric.dialect}`." if metric.dialect else ""),
         ", ".join(f"`{name}`" for name in metric.attributes))
        for metric in METRICS
    ]  # fmt: skip
    return _page(
        "Metrics",
        "What a collector gets, and what [`/metrics`](../observability.md#prometheus-and-grafana) tells Prometheus; there "
        "attributes have `_` for each dot, and histograms the usual `_bucket`, `_sum` and `_count`.",
        _table(("OpenTelemetry", "Prometheus", "kind", "unit", "what", "attributes"), rows),
    )


def commands_page() -> str:
    """Our commands of `manage.py`, with their arguments."""
    from django.core.management import load_command_class
    from django.core.management.base import BaseCommand

    ordinary = {action.dest for action in BaseCommand().create_parser("manage.py", "")._actions}
    there = {path.stem for app in ("gateway", "redaction", "budgets", "dashboards")
             for path in (ROOT / app / "management" / "commands").glob("[a-z]*.py")}  # fmt: skip
    apps = {name: app for app, names in COMMANDS.items() for name in names}
    # Django's own command, as tests need it.
    _same("commands", there - {"flush"}, apps)
    parts = []
    for name, app in sorted(apps.items()):
        command = load_command_class(app, name)
        parser = command.create_parser("manage.py", name)
        parts.append(f"## {name}\n\n{command.help}")
        actions = [action for action in parser._actions if action.dest not in ordinary]
        verbs = next((action for action in actions if isinstance(action, argparse._SubParsersAction)), None)
        if verbs is None:
            parts += _command(f"manage.py {name}", actions)
            continue
        told = {choice.dest: choice.help or "" for choice in verbs._choices_actions}
        for verb, sub in verbs.choices.items():
            parts.append(f"### {name} {verb}\n\n{told.get(verb, '')}")
            parts += _command(f"manage.py {name} {verb}", [a for a in sub._actions if a.dest not in ordinary])
    return _page(
        "Commands",
        "Of `manage.py`, beside Django's own. In a checkout `uv run manage.py …` works at any time: it finds or starts "
        "the embedded database.",
        *parts,
    )


def catalog_page() -> str:
    """Sections of a catalog file, with the fields, types and defaults of each."""
    from budgets.models import AlertRoute, Budget, Channel, Rate, RateLimit, SwitchTrigger
    from gateway.configuration.schema import PRICE_FIELDS, SECTIONS
    from gateway.models import Feature, Provider, Route
    from redaction.models import RedactionList, RedactionPolicy

    models: dict[str, Any] = {
        "policies": RedactionPolicy, "providers": Provider, "routes": Route, "features": Feature, "budgets": Budget,
        "rates": Rate, "rate_limits": RateLimit, "switch_rules": SwitchTrigger, "channels": Channel,
        "alert_routes": AlertRoute, "redaction_lists": RedactionList,
    }  # fmt: skip
    titles = {"features": '[features."SLUG"]', "prompts": '[prompts."SLUG"]'}
    used: set[str] = set()
    parts = []
    for name, section in SECTIONS.items():
        rows = []
        for field, kind in section.fields.items():
            column = _column(models.get(name), field)
            text = FIELDS.get(f"{name}.{field}") or str(getattr(column, "help_text", ""))
            if f"{name}.{field}" in FIELDS:
                used.add(f"{name}.{field}")
            elif name == "prices" and field in PRICE_FIELDS:
                text = f"{PRICE_FIELDS[field].replace('_', ' ').capitalize()}; US dollars per million tokens."
            if not text:
                raise Incomplete(
                    f"the field {name}.{field} has no description: give its column a help_text, or add it to FIELDS"
                )
            needed = "required" if field in section.required else _column_default(column)
            rows.append((f"`{field}`", kind.removeprefix("a "), needed, text + _choices(column)))
        title = f"[[{name}]]" if section.listed else titles.get(name, f"[{name}.NAME]")
        parts += [f"## {name}\n\n`{title}`", _table(("field", "type", "default", "what"), rows)]
    _same("fields of catalog files", used, FIELDS)
    return _page(
        "Catalog files",
        "What [a catalog file](../catalog.md) may say. What it does not mention stays as it is.",
        *parts,
    )


def roles_page() -> str:
    """What each role may do with the rows of each model, and what of it somebody sees who is limited to tenants."""
    from django.apps import apps
    from django.contrib import admin

    from gateway.access import ROWS, SHARED
    from gateway.roles import ROLES

    def cell(role: Any, model: Any, words: dict[str, str]) -> str:
        label = model._meta.app_label
        return ", ".join(word for name, word in words.items() if role.has(f"{label}.{name}"))

    rows = []
    for model in apps.get_models():
        meta = model._meta
        if model not in admin.site._registry and not meta.permissions:
            continue
        usual = (action for action in ("view", "add", "change", "delete") if action in meta.default_permissions)
        words = {f"{action}_{meta.model_name}": action for action in usual}
        words |= {name: name.replace("_", " ") for name, _ in meta.permissions}
        limited = "own rows" if model in ROWS else "to look at" if model in SHARED else "–"
        rows.append((str(meta.verbose_name_plural), *(cell(role, model, words) or "–" for role in ROLES), limited))
    abouts = _table(("role", "group", "what"), [(role.name, f"`{role.group}`", role.about) for role in ROLES])
    heads = ("rows", *(role.name for role in ROLES), "limited to tenants")
    return _page(
        "Roles",
        "What [roles](../roles.md) may do. Rows that the gate writes itself cannot be changed by anybody, whatever stands here.",
        abouts,
        _table(heads, sorted(rows)),
    )


PAGES = {
    "roles": roles_page,
    "python": python_page,"settings": settings_page, "errors": errors_page, "headers": headers_page, "commands": commands_page,
         "catalog": catalog_page, "metrics": metrics_page}  # fmt: skip


def _comments(file: Path) -> dict[str, str]:
    """The `#:` comment above each annotated attribute of a module's class."""
    found, waiting = {}, []
    for line in file.read_text().splitlines():
        text = line.strip()
        if text.startswith("#:"):
            waiting.append(text.removeprefix("#:").strip())
        elif match := re.match(r"([A-Z_]+): ", text):
            if not waiting:
                raise Incomplete(f"{match[1]} in {file.name} has no `#:` comment above it")
            found[match[1]], waiting = " ".join(waiting), []
    return found


def _variables() -> set[str]:
    """Names of the environment variables that `deploy/` reads, but for entries of TOLLHOUSE."""
    found = set()
    for file in (ROOT / "deploy").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "flag"):
                found |= {str(name.value) for name in node.args[:1] if isinstance(name, ast.Constant)}
    return found


def _headers() -> tuple[set[str], set[str]]:
    """Names of headers that `gateway/http` reads from requests and writes into answers."""
    from gateway.http import auth

    text = "".join(file.read_text() for file in (ROOT / "gateway" / "http").rglob("*.py"))
    read = set(re.findall(r'\.header\("([a-z-]+)"\)', text))
    # The four that `caller` reads in one line.
    [names] = re.findall(r'f"x-tollhouse-\{name\}" for name in \(([^)]+)\)', inspect.getsource(auth))
    read |= {f"x-tollhouse-{name}" for name in re.findall(r'"(\w+)"', names)}
    return read, set(re.findall(r'\(b"([a-z-]+)", ', text))


def _command(name: str, actions: Sequence[argparse.Action]) -> list[str]:
    """How a command is called, and a table of its arguments."""
    usage, rows = [name], []
    for action in actions:
        if action.dest == "help":
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        many = " …" if action.nargs in ("+", "*") or isinstance(action, argparse._AppendAction) else ""
        if action.option_strings:
            shown = action.option_strings[-1] + ("" if action.nargs == 0 else f" {metavar}{many}")
            usage.append(shown if action.required else f"[{shown}]")
        else:
            shown = metavar if action.metavar else f"{action.dest.upper()}{many}"
            usage.append(shown)
        rows.append((f"`{shown}`", action.help or ""))
    told = [row for row in rows if row[1]]
    return [f"```text\n{' '.join(usage)}\n```", *([_table(("argument", "what"), told)] if told else [])]


def _column(model: Any, name: str) -> Any:
    return next((field for field in model._meta.get_fields() if field.name == name), None) if model else None


def _column_default(column: Any) -> str:
    if column is None or not column.has_default():
        return ""
    value = column.get_default()
    return _default(value) if isinstance(value, str | int | float) else ""


def _choices(column: Any) -> str:
    choices = getattr(column, "choices", None)
    return f" One of {', '.join(f'`{value}`' for value, _ in choices)}." if choices else ""


def _type(kind: Any) -> str:
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(kind, "list of texts")


def _default(value: object) -> str:
    if isinstance(value, tuple):
        return f"`{','.join(value)}`" if value else ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else ""


def _cased(name: str) -> str:
    return {"traceparent": name, "www-authenticate": "WWW-Authenticate"}.get(
        name, "-".join(part.capitalize() for part in name.split("-"))
    )


def _same(what: str, code: Iterable[str], here: Iterable[str]) -> None:
    missing, extra = set(code) - set(here), set(here) - set(code)
    if missing or extra:
        raise Incomplete(
            f"{what}: {', '.join(sorted(missing)) or 'nothing'} without a description in scripts/reference_words.py, "
            f"{', '.join(sorted(extra)) or 'nothing'} described there and gone from the code"
        )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(head), line("---" for _ in head), *map(line, rows)])


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([MADE, f"# {title}", *parts]) + "\n"


def main() -> int:
    """Writes the pages, or checks them; returns the exit status."""
    # Nothing here asks a database, and this URL keeps the settings from starting one.
    os.environ["DATABASE_URL"] = "postgresql:///none"
    os.environ["DJANGO_SETTINGS_MODULE"] = "deploy.settings"
    sys.path.insert(0, str(ROOT))
    import django

    django.setup()
    try:
        pages = {OUTPUT / f"{name}.md": make() for name, make in PAGES.items()}
    except Incomplete as error:
        print(f"The reference is not complete: {error}.", file=sys.stderr)
        return 1
    if "--check" in sys.argv[1:]:
        stale = [file for file, text in pages.items() if not file.exists() or file.read_text() != text]
        for file in stale:
            print(
                f"{file.relative_to(ROOT)} is not what the code says; run python scripts/reference.py.", file=sys.stderr
            )
        return 1 if stale else 0
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for file, text in pages.items():
        file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
