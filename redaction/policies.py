"""What redaction does with which entity, on the way out and in storage."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from types import MappingProxyType

from redaction.lists import DENIED, Lists, in_effect

OUTBOUND = ("off", "mask", "pseudonymise", "refuse")
STORED = ("none", "hash", "redacted", "full")
#: How long a value keeps its pseudonym.
PSEUDONYMS = ("call", "session")
#: How many hours a session's pseudonyms may be kept after its last call.
SESSION_HOURS = (1, 720)
#: What a call consists of. `prompts` are messages of users and all that is nothing else, `tools` the definitions of tools and
#: of the reply's form.
PARTS = ("prompts", "replies", "system", "tool_arguments", "tool_results", "embeddings", "tools")
#: Parts that are kept at all.
STORED_PARTS = PARTS[:-2]
MEDIA = ("pass", "refuse")

#: Entities found by the tagger or language model; a policy that asks for none of them needs no analysis by it.
NER_ENTITIES = ("PERSON", "LOCATION", "NRP", "ORGANIZATION")
#: Entities found by patterns, checksums and context words.
PATTERN_ENTITIES = (
    "BANK_ACCOUNT", "CREDIT_CARD", "CRYPTO", "DATE_TIME", "EMAIL_ADDRESS", "IBAN_CODE", "INSURANCE_ID", "IN_AADHAAR", "IN_PAN",
    "IP_ADDRESS", "LICENSE", "MAC_ADDRESS", "NATIONAL_ID", "PASSPORT", "PASSWORD", "PATIENT_ID", "PHONE_NUMBER",
    "ROUTING_NUMBER", "SECRET", "STREET_ADDRESS", "TAX_ID", "UK_NHS", "UK_NINO", "URL", "USERID", "US_DRIVER_LICENSE",
    "US_ITIN", "US_PASSPORT", "US_SSN", "VEHICLE_ID", "VOTER_ID",
)  # fmt: skip
#: From what changes least to what changes most.
STRICTNESS = ("off", "pseudonymise", "mask", "refuse")
#: Credentials are looked for by every policy that looks for anything.
SECRETS = ("SECRET", "PASSWORD")
#: Names of entities that older policies use → what is found for them.
ALSO = {"US_PASSPORT": "PASSPORT"}
KNOWN_ENTITIES = tuple(sorted(NER_ENTITIES + PATTERN_ENTITIES))


# No slots, as what every call asks of it is found out once.
@dataclass(frozen=True, kw_only=True)
class Policy:
    """A redaction policy. `threshold` is the least score, 0 to 1, at which a finding counts.

    With `pseudonyms` for a `session`, the same value has the same one in all of its calls, until there was none for
    `session_hours`.
    `rules` are what happens to some entities on the way out, `thresholds` their least scores, `parts` what happens in some
    parts of a call instead of `outbound`, `stored_parts` what is kept of some instead of `stored`: each is pairs.
    A rule comes before a part's word, but a part that is `off` is not looked at on the way out. `media` says whether
    images, audio and files, which nobody reads, pass. `lists` are those of all tenants; `for_tenant` leaves one's own.

    Raises ValueError for a word that is not known; the message lists those that are.
    """

    name: str
    outbound: str
    stored: str
    entities: tuple[str, ...]
    threshold: float = 0.4
    pseudonyms: str = "call"
    session_hours: int = 24
    rules: tuple[tuple[str, str], ...] = ()
    thresholds: tuple[tuple[str, float], ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    stored_parts: tuple[tuple[str, str], ...] = ()
    media: str = "pass"
    lists: tuple[Lists, ...] = ()

    @property
    def scans(self) -> bool:
        """Whether text has to be analysed for it."""
        return bool(self.finds) and (self.acts or "redacted" in (self.stored, *dict(self.stored_parts).values()))

    @cached_property
    def acts(self) -> bool:
        """Whether anything may happen to a call on its way out."""
        return self.media == "refuse" or any(map(self.looks_at, PARTS))

    def looks_at(self, part: str) -> bool:
        """Whether a part of a call is looked at on the way out."""
        if not self.finds or dict(self.parts).get(part) == "off":
            return False
        return self.outbound_of(part) != "off" or any(word != "off" for word in self.actions(part).values())

    @property
    def needs_names(self) -> bool:
        """Whether text has to be analysed for names or places, which takes more than patterns."""
        return self.scans and not self.finds.isdisjoint(NER_ENTITIES)

    @property
    def finds(self) -> frozenset[str]:
        """The entities that are looked for."""
        return _finds(self.entities, self.lists)

    @property
    def own_entities(self) -> frozenset[str]:
        """The entities that its lists find."""
        return frozenset[str]().union(*(one.finds for one in self.lists))

    def least(self, entity: str) -> float:
        """The least score at which a finding of the entity counts."""
        return dict(self.thresholds).get(entity, self.threshold) if self.thresholds else self.threshold

    def outbound_of(self, part: str) -> str:
        """What happens in a part of a call, but for entities with a rule of their own."""
        return dict(self.parts).get(part, self.outbound)

    def stored_of(self, part: str) -> str:
        """What is kept of a part of a call."""
        return dict(self.stored_parts).get(part, self.stored)

    @cached_property
    def keeps(self) -> bool:
        """Whether anything of a call's text is kept, be it a hash."""
        return any(self.stored_of(part) != "none" for part in STORED_PARTS)

    @cached_property
    def analyses_kept(self) -> bool:
        """Whether what is kept of a call has to be analysed for it."""
        return bool(self.finds) and any(self.stored_of(part) == "redacted" for part in STORED_PARTS)

    def actions(self, part: str) -> Mapping[str, str]:
        """Entity → what happens to it on the way out, where that is not `outbound_of` the part."""
        return _actions(self, part)

    def changes_all(self, part: str) -> bool:
        """Whether nothing that is found in a part goes out as it was."""
        return self.outbound_of(part) != "off" and "off" not in self.actions(part).values()

    def for_tenant(self, tenant: str) -> "Policy":
        """The policy with the lists that hold for calls of a tenant, and no others."""
        if not self.lists or not any(one.tenant for one in self.lists):
            return self
        return replace(self, lists=in_effect(self.lists, tenant))

    def __post_init__(self) -> None:
        _known("outbound", self.outbound, OUTBOUND)
        _known("stored", self.stored, STORED)
        _known("pseudonyms", self.pseudonyms, PSEUDONYMS)
        if not SESSION_HOURS[0] <= self.session_hours <= SESSION_HOURS[1]:
            raise ValueError(
                f"session_hours must be from {SESSION_HOURS[0]} to {SESSION_HOURS[1]}, not {self.session_hours}."
            )
        _known("media", self.media, MEDIA)
        for entity in self.entities:
            _known("entities", entity, KNOWN_ENTITIES)
        for field, choices, pairs in (
            ("parts", OUTBOUND, self.parts),
            ("stored_parts", STORED, self.stored_parts),
        ):
            for part, word in pairs:
                _known(field, part, PARTS if field == "parts" else STORED_PARTS)
                _known(f"{field}.{part}", word, choices)
        self._check_entities()
        for number in (self.threshold, *dict(self.thresholds).values()):
            if not 0 <= number <= 1:
                raise ValueError(f"threshold must be between 0 and 1, not {number}.")

    def _check_entities(self) -> None:
        looked_for = _finds(self.entities, ())
        for field, names in (("rules", dict(self.rules)), ("thresholds", dict(self.thresholds))):
            for entity in names:
                _known(field, entity, KNOWN_ENTITIES)
                if entity not in looked_for:
                    raise ValueError(f"{field}: {entity} is not looked for; add it to entities.")
        for entity, word in self.rules:
            _known(f"rules.{entity}", word, OUTBOUND)
            if entity in SECRETS and word == "off":
                raise ValueError(f"rules.{entity}: credentials never pass; choose from {', '.join(OUTBOUND[1:])}.")
        for one in self.lists:
            if one.outbound:
                _known("outbound", one.outbound, OUTBOUND[1:])
            for entity, _ in one.patterns:
                if entity in (*KNOWN_ENTITIES, DENIED):
                    raise ValueError(f"patterns: {entity} is an entity of ours; choose a name of your own.")


@lru_cache(maxsize=1000)
def _actions(policy: Policy, part: str) -> Mapping[str, str]:
    found = dict(policy.rules)
    for entity, also in ALSO.items():
        if entity in found:
            found.setdefault(also, found[entity])
    for one in policy.lists:
        for entity in one.finds if one.outbound else ():
            # Of two lists that say different things, the stricter one counts.
            found[entity] = max(found.get(entity, "off"), one.outbound, key=STRICTNESS.index)
    if found and policy.outbound_of(part) == "off":
        # Where anything is looked for, credentials do not pass.
        found = {**dict.fromkeys(SECRETS, "mask"), **found}
    return MappingProxyType(found)


@lru_cache(maxsize=1000)
def _finds(entities: tuple[str, ...], lists: tuple[Lists, ...]) -> frozenset[str]:
    own: frozenset[str] = frozenset[str]().union(*(one.finds for one in lists))
    if not entities and not own:
        return own
    return own.union(entities, SECRETS, (ALSO[entity] for entity in entities if entity in ALSO))


def _known(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{field}: {value!r} is not known; choose from {', '.join(choices)}.")


DEFAULT = Policy(
    name="default",
    outbound="pseudonymise",
    stored="redacted",
    entities=(
        "PERSON", "LOCATION", "STREET_ADDRESS", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "BANK_ACCOUNT",
        "ROUTING_NUMBER", "CRYPTO", "IP_ADDRESS", "MAC_ADDRESS", "SECRET", "PASSWORD", "DATE_TIME", "PASSPORT",
        "US_DRIVER_LICENSE", "NATIONAL_ID", "TAX_ID", "PATIENT_ID", "INSURANCE_ID", "LICENSE", "VEHICLE_ID", "VOTER_ID", "USERID",
        "UK_NHS", "UK_NINO", "US_ITIN", "US_SSN", "IN_AADHAAR", "IN_PAN",
    ),
)  # fmt: skip
