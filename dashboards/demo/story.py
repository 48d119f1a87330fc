"""Who calls what in the demo, and what happens to them: a company that sells software to others."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFeature:
    """A feature: its share of all calls, its targets (the second takes over), and medians of tokens.

    `http` says how many of its calls come over HTTP, with which key; `found` what is found in its texts. `tenants`: whether
    it is used by customers. `tested` is the day (counted from the end) on which a second version of its prompt went live
    for half of the callers; 0: never.
    """

    slug: str
    share: float
    targets: tuple[str, str]
    input_tokens: int
    output_tokens: int
    tenants: bool = True
    streamed: float = 0.0
    http: float = 0.3
    key: str = "website"
    cached: float = 0.0
    found: tuple[str, ...] = ()
    tested: int = 0
    team: str = "product"


MINI, HAIKU, SONNET = "openai/gpt-4o-mini", "anthropic/claude-haiku-4-5", "anthropic/claude-sonnet-4-5"
GPT, SMALL = "openai/gpt-4.1", "openai/gpt-4.1-mini"
PERSON = '{"PERSON": 1}'
BOTH, MORE = '{"PERSON": 2, "EMAIL_ADDRESS": 1}', '{"PERSON": 1, "PHONE_NUMBER": 1, "EMAIL_ADDRESS": 1}'

FEATURES = (
    DemoFeature(slug="support.reply", share=0.24, targets=(MINI, HAIKU), input_tokens=1400, output_tokens=260, streamed=0.8,
                key="helpdesk", found=(PERSON, BOTH, MORE), tested=30, team="support"),
    DemoFeature(slug="support.triage", share=0.20, targets=(MINI, HAIKU), input_tokens=700, output_tokens=24, http=0.9,
                key="helpdesk", found=(PERSON, BOTH), team="support"),
    DemoFeature(slug="docs.answer", share=0.16, targets=(HAIKU, MINI), input_tokens=3200, output_tokens=320, streamed=0.9,
                cached=0.45, team="docs"),
    DemoFeature(slug="search.rewrite", share=0.14, targets=(SMALL, MINI), input_tokens=220, output_tokens=30, cached=0.2,
                team="search"),
    DemoFeature(slug="editor.improve", share=0.10, targets=(SONNET, GPT), input_tokens=900, output_tokens=420, streamed=1.0,
                tested=12, team="editor"),
    DemoFeature(slug="mail.summary", share=0.06, targets=(SMALL, HAIKU), input_tokens=2600, output_tokens=150,
                found=(BOTH, MORE), key="mail-worker", http=1.0),
    DemoFeature(slug="sales.research", share=0.04, targets=(SONNET, GPT), input_tokens=5200, output_tokens=800, tenants=False,
                found=(PERSON,), team="sales"),
    DemoFeature(slug="hr.screening", share=0.02, targets=(GPT, SONNET), input_tokens=2200, output_tokens=300, tenants=False,
                found=(BOTH, MORE), http=0.0, team="people"),
    DemoFeature(slug="agents.nightly", share=0.03, targets=(GPT, SONNET), input_tokens=6500, output_tokens=650, tenants=False,
                http=1.0, key="nightly", team="platform"),
    DemoFeature(slug="moderation.check", share=0.01, targets=(MINI, HAIKU), input_tokens=180, output_tokens=8, http=1.0,
                key="community", team="trust"),
)  # fmt: skip
#: Milliseconds to the first token and for each further one, by model.
SPEEDS = {MINI: (380, 11), SMALL: (420, 12), GPT: (650, 19), HAIKU: (450, 9), SONNET: (800, 18)}
TENANTS, USERS = 420, 6_000
COHORTS = ("general", "beta", "staff")
#: Days before the end on which things happened.
OUTAGE, RUNAWAY, DEARER, WARM, FULL = 9, 22, 40, 60, 5
KEYS = ("website", "helpdesk", "mail-worker", "nightly", "community")

CATALOG = """\
[providers.openai]
kind = "openai"
base_url = "https://api.openai.com/v1"
api_key_env = "OPENAI_API_KEY"

[providers.anthropic]
kind = "anthropic"
base_url = "https://api.anthropic.com"
api_key_env = "ANTHROPIC_API_KEY"

[[budgets]]
period = "month"
limit = {month}

[[budgets]]
feature = "sales.research"
period = "day"
limit = {sales}

[[budgets]]
feature = "editor.improve"
period = "week"
limit = {editor}

[[budgets]]
each = ["tenant"]
period = "month"
limit = {tenant}
"""
FEATURE = """
[routes."{slug}"]
targets = ["{first}", "{second}"]
timeout_s = 60
retries = 1

[features."{slug}"]
description = "Demo: {team} team"
owner = "{team}-team"
route = "{slug}"
max_output_tokens = 1500

[prompts."{slug}"]
deploy = true
messages = [
    {{role = "system", content = "You work on {slug}. Be brief and exact."}},
    {{role = "user", content = "{{{{ text }}}}"}},
]
"""


def catalog(total_usd: float, days: int) -> str:
    """The catalog file of the demo, with limits that fit what the calls come to."""
    daily = total_usd / days
    limits = CATALOG.format(
        month=round(daily * 34) + 1,
        sales=round(daily * 0.12) + 1,
        editor=round(daily * 1.6) + 1,
        tenant=round(daily * 3) + 1,
    )
    return limits + "".join(
        FEATURE.format(slug=f.slug, first=f.targets[0], second=f.targets[1], team=f.team) for f in FEATURES
    )
