"""What a compliance report says of its facts, in words: the same sections for every form in which it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.compliance.facts import Facts

#: How the report calls the parts of a call, what happens in them, and what is kept.
PARTS = {
    "prompts": "users' messages", "replies": "replies", "system": "instructions", "tool_arguments": "arguments of tools",
    "tool_results": "results of tools", "embeddings": "texts for embeddings", "tools": "descriptions of tools",
}  # fmt: skip
SENT = {
    "off": "passes as it is", "mask": "removed for good", "pseudonymise": "replaced, and put back in the answer",
    "refuse": "the call is refused",
}  # fmt: skip
KEPT = {
    "none": "nothing", "hash": "a keyed hash, from which the text cannot be read", "redacted": "the text, redacted",
    "full": "the full text",
}  # fmt: skip
PHASES = {
    "internal": "chosen customers and groups",
    "beta": "chosen customers, and {} % of all others",
    "general": "everybody",
}
#: Entities whose name says little, and words of names that stay in capitals.
ENTITIES = {
    "CRYPTO": "crypto wallet", "DATE_TIME": "date and time", "IN_AADHAAR": "Indian Aadhaar", "IN_PAN": "Indian PAN",
    "LICENSE": "licence number", "NRP": "nationality, religion or politics", "SECRET": "API key or token", "USERID": "user ID",
    "US_DRIVER_LICENSE": "US driver licence", "DENIED": "words of your own",
}  # fmt: skip
CAPITALS = {"IBAN", "ID", "IP", "ITIN", "MAC", "NHS", "NINO", "SSN", "UK", "URL", "US"}
#: Kinds of rows that the gate itself keeps; those of other apps go by their own word.
ROWS = {
    "call": "calls: for whom, when, tokens, cost, outcome",
    "payload": "payloads: what calls said, as far as it is kept",
    "alert": "alerts, counted from their end",
    "window": "windows of budgets: what was spent in them, with user references under a budget of each user",
    "breaker_trip": "trips of breakers, without any person",
    "export": "files of calls that people exported",
    "session_map": "pseudonyms of sessions, encrypted",
    "dataset_item": "examples in datasets: what calls said, redacted, with user references",
    "score": "scores: feedback, shares edited and evals of calls, as numbers, with user references",
    "step": "steps: what applications did around calls, by name, with times and counts, and user references",
}
KINDS = {"sandbox": "A stand-in for tests; nothing leaves", "litellm": "Through the litellm library"}
#: Who receives something of calls beside providers, and what.
RECEIVERS = {"analyzer": "An analyzer that looks for names", "OTLP": "A collector of OpenTelemetry", "Sentry": "Sentry"}
GETS = {
    "texts": "texts as they came, with the personal data in them, before a policy replaces it",
    "measures": "times, counts, costs, outcomes, tenant and session; no texts",
    "redacted": "times, counts, costs, outcomes, tenant and session; texts, redacted, where the policy keeps such",
}
LAST_RAN = "Expired rows were removed last on {}."


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts under their heads; `widths` are the columns' shares of the page."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[int]
    title: str = ""

    @property
    def plain(self) -> bool:
        """Whether it is a list of names and values, which needs no heads."""
        return not any(self.head[1:])

    @property
    def labelled(self) -> list[list[tuple[str, str]]]:
        """Each row as pairs of a head and a cell, for pages on which a row is a list."""
        return [list(zip(self.head, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, what is to be said under it, and tables."""

    title: str
    texts: Sequence[str] = ()
    tables: Sequence[Table] = ()


def sections(
    facts: Facts, *, hash: str, made_at: datetime, made_by: str, removed_at: datetime | None
) -> list[Section]:  # fmt: skip
    """The report as sections; the first one is its head."""
    found: Any = facts
    product = f"{str(found['product']['name']).capitalize()} {found['product']['version']}"
    head = Table(
        ("Report", ""),
        [("Made", f"{when(made_at)} by {made_by}"), ("Product", product), ("Hash of the facts (SHA-256)", hash)],
        (30, 70),
    )
    return [
        Section("Use of language models: compliance report", [
            "This report was written by the gate that every call to a language model passes through, from its own "
            "configuration and records.",
            "Two reports with the same hash say the same in all sections below; the time of the report does not count.",
        ], [head]),
        _features(found["features"]),
        _prompts(found["features"], found["prompts"]),
        _subprocessors(found["subprocessors"], found["receivers"]),
        _redaction(found["redaction"]),
        _retention(found, removed_at),
        _readers(found["payload_readers"]),
        _audit(found["audit"]),
    ]  # fmt: skip


def when(at: datetime | str | None) -> str:
    """A moment for readers, in UTC; an ISO text is one, too."""
    if at is None:
        return "not recorded"
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{moment.astimezone(UTC):%-d %B %Y, %H:%M} UTC"


def _features(features: list[Any]) -> Section:
    rows = [
        (
            _lines(feature["slug"], feature["description"]),
            feature["owner"] or "not stated",
            PHASES["internal" if feature["percent_of_others"] == 0 else feature["phase"]].format(
                feature["percent_of_others"]
            ),
            _lines(
                ", then ".join(feature["models"]) or "none",
                f"when a budget is full: {', '.join(feature['when_a_budget_is_full'])}"
                if feature["when_a_budget_is_full"]
                else "",
            ),
            feature["disclosure"] or "not stated",
        )
        for feature in features
    ]
    return Section(
        "Features", ["What the product uses language models for. Calls go to the first model, to the next where that fails."],
        [Table(("Feature", "Owner", "On for", "Models", "What users are told"), rows, (24, 13, 15, 25, 23))],
    )  # fmt: skip


def _prompts(features: list[Any], prompts: list[Any]) -> Section:
    rows = [
        (
            prompt["feature"],
            version["address"],
            f"{version['percent']} %",
            _lines(when(version["live_since"]), f"by {version['put_live_by']}" if version["put_live_by"] else ""),
            version["reason"] or "not recorded",
        )
        for prompt in prompts
        for version in prompt["versions"]
    ]
    without = sorted({feature["slug"] for feature in features} - {prompt["feature"] for prompt in prompts})
    texts = [
        "Versions of instructions that are live. A version is known by the SHA-256 of its content and cannot be changed."
    ]
    if without:
        texts.append(f"The application brings the instructions itself for: {', '.join(without)}.")
    return Section(
        "Prompt versions in production", texts,
        [Table(("Feature", "Version", "Share of calls", "Live since", "Reason"), rows, (18, 30, 10, 21, 21))],
    )  # fmt: skip


def _subprocessors(providers: list[Any], receivers: list[Any]) -> Section:
    rows = [
        (
            _lines(provider["name"], KINDS.get(provider["kind"], "")),
            provider["host"] or ("nowhere" if provider["kind"] == "sandbox" else "chosen by the library"),
            provider["region"] or ("–" if provider["kind"] == "sandbox" else "not stated"),
            ", ".join(provider["models"]),
            ", ".join(provider["features"]),
        )
        for provider in providers
    ]
    texts = ["Who receives the texts of calls, and for which features. No call goes to another model."]
    tables = [Table(("Provider", "Address", "Region", "Models", "Features"), rows, (18, 22, 14, 24, 22))]
    if receivers:
        others = [
            (
                RECEIVERS[one["name"]],
                one["host"] or "not stated",
                GETS[one["gets"]],
                ", ".join(one["features"]) or "none",
            )
            for one in receivers
        ]
        head = ("Receiver", "Address", "What it gets", "Features")
        tables.append(Table(head, others, (24, 22, 32, 22), "Others who receive something of calls"))
    if not any(one["gets"] == "texts" for one in receivers):
        texts.append("Personal data is looked for in the gate's own processes.")
    return Section("Models and subprocessors", texts, tables)


def _redaction(redaction: Any) -> Section:
    texts = [
        "What happens to personal data that is found in a call before it is sent, and what is kept of its texts. Patterns, "
        f"checksums and a model for names ({redaction['names_found_by']}) find it; nothing finds all of it."
    ]
    tables: list[Table] = []
    for policy in redaction["policies"]:
        title = f"Policy {policy['name']}, used by {', '.join(policy['features'])}"
        sent = [(", ".join(_entity(name) for name in names), words) for words, names in _by_action(policy["entities"])]
        if not sent:
            sent = [("nothing is looked for", "texts are sent as they are")]
        refused = policy["media"] == "refuse"
        sent.append(("in images, audio and files", "the call is refused" if refused else "they are sent unread"))
        tables += [
            Table(("Personal data", "Before a text is sent"), sent, (60, 40), title),
            Table(("Part of a call", "What is kept of it"), _kept(policy), (60, 40)),
        ]
    return Section("Redaction", texts, tables)


def _by_action(entities: list[Any]) -> list[tuple[str, list[str]]]:
    """Entities by what happens to them, as words; those that most happens to first."""
    found: dict[str, list[str]] = {}
    for entity in entities:
        found.setdefault(_happens(entity["sent"], SENT), []).append(entity["entity"])
    return sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))


def _happens(by_part: Mapping[str, str], words: Mapping[str, str]) -> str:
    """What happens in which parts; the parts are left out where it is the same in all."""
    parts: dict[str, list[str]] = {}
    for part, word in by_part.items():
        parts.setdefault(word, []).append(PARTS[part])
    if len(parts) == 1:
        return words[next(iter(parts))]
    return "; ".join(f"{', '.join(names)}: {words[word]}" for word, names in parts.items())


def _kept(policy: Any) -> list[tuple[str, str]]:
    kept: dict[str, list[str]] = {}
    for part, word in policy["kept"].items():
        kept.setdefault(word, []).append(PARTS[part])
    rows = [(", ".join(names), KEPT[word]) for word, names in kept.items()]
    session = policy["session_hours"]
    rows.append((
        "what replaced data stands for",
        f"encrypted, until {session} hours after a session's last call" if session else "only while the call runs",
    ))  # fmt: skip
    if count := policy["tenants_with_lists"]:
        rows.append(("further words and patterns", f"for {count} customer{'' if count == 1 else 's'}"))
    return rows


def _entity(name: str) -> str:
    """An entity as a reader calls it, e.g. `email address`."""
    return ENTITIES.get(name) or " ".join(word if word in CAPITALS else word.lower() for word in name.split("_"))


def _retention(facts: Any, removed_at: datetime | None) -> Section:
    rows = [
        (ROWS.get(kind["kind"], kind["kind"]), kind["table"], _days(kind["days"]),
         ", ".join(f"{feature}: {_days(days)}" for feature, days in kind["of_features"].items()) or "–")
        for kind in facts["retention"]
    ]  # fmt: skip
    cached = {feature["slug"]: feature["cache_ttl_s"] for feature in facts["features"] if feature["cache_ttl_s"]}
    rows.append((
        "replies that are given again", "tollhouse_cached_reply", "no longer than the feature says, encrypted",
        ", ".join(f"{feature}: {seconds:,} seconds" for feature, seconds in cached.items()) or "none are kept",
    ))  # fmt: skip
    rows.append(("sums of cost without any person", "tollhouse_call_sum", "for good", "–"))
    rows.append((
        "sums of calls for dashboards; by user reference, too, which an erasure takes out", "tollhouse_rollup and others",
        "for good", "–",
    ))  # fmt: skip
    rows.append(("views of dashboards that people saved", "tollhouse_saved_view", "until they are deleted", "–"))
    rows.append(("counters of metrics, without any person", "tollhouse_meter", "for good", "–"))
    rows.append(("audit log, prompt versions, prices", "tollhouse_audit and others", "for good", "–"))
    ran = LAST_RAN.format(when(removed_at)) if removed_at else "No job has removed expired rows yet."
    return Section(
        "Retention",
        [
            "Calls and payloads are invisible from the moment that their time is over; all rows are removed soon after it, "
            "unless a legal hold keeps them.",
            ran,
        ],
        [Table(("Rows", "Table", "Kept", "Features with a time of their own"), rows, (28, 24, 22, 26))],
    )


def _days(days: int) -> str:
    """How long, in words; 0: each row has a time of its own."""
    if days == 0:
        return "until the time that each row names"
    return "1 day" if days == 1 else f"{days:,} days"


def _readers(readers: Any) -> Section:
    rows = [
        (
            _lines(user["name"], user["full_name"]),
            user["through"],
            "all customers"
            if user["tenants"] is None
            else f"{user['tenants']} customer{'' if user['tenants'] == 1 else 's'}",
        )
        for user in readers["users"]
    ] or [("nobody", "–", "–")]
    texts = [
        "People who can open what a call said, as far as it is kept. Every reading is an entry of the audit log. "
        "Administrators of the database and its backups are not in this list.",
        f"Groups that give this right: {', '.join(readers['groups']) or 'none'}.",
    ]
    return Section(
        "Who can read what calls said", texts, [Table(("User", "Through", "Calls of"), rows, (40, 35, 25))]
    )  # fmt: skip


def _audit(audit: Any) -> Section:
    text = (
        "The log of changes of configuration, of prompts put live and of readings of payloads can only be added to, and each "
        "entry is chained to the one before by a hash. A verification reads all of it and finds out whether anything was "
        "changed or taken away."
    )
    if audit is None:
        return Section("Audit log", [text, "It has not been verified yet: run manage.py audit verify."])
    rows = [("Last verification", f"{when(audit['verified_at'])} by {audit['verified_by']}")]
    if audit["ok"]:
        rows += [
            ("Result", "every entry is as it was written"), ("Entries", f"{audit['entries']:,}"),
            ("Hash of the last entry", audit["head_hash"] or "–"),
        ]  # fmt: skip
    else:
        rows.append(("Result", f"BROKEN. {audit['why']}"))
    return Section("Audit log", [text], [Table(("Verification", ""), rows, (30, 70))])


def _lines(*texts: str) -> str:
    return "\n".join(filter(None, texts))
