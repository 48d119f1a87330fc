"""What redaction does with which entity, on the way out and in storage."""

from dataclasses import dataclass
from functools import cache

OUTBOUND = ("off", "mask", "pseudonymise", "refuse")
STORED = ("none", "hash", "redacted", "full")
#: How long a value keeps its pseudonym.
PSEUDONYMS = ("call", "session")
#: How many hours a session's pseudonyms may be kept after its last call.
SESSION_HOURS = (1, 720)

#: Entities found by the tagger or language model; a policy that asks for none of them needs no analysis by it.
NER_ENTITIES = ("PERSON", "LOCATION", "NRP", "ORGANIZATION")
#: Entities found by patterns, checksums and context words.
PATTERN_ENTITIES = (
    "BANK_ACCOUNT", "CREDIT_CARD", "CRYPTO", "DATE_TIME", "EMAIL_ADDRESS", "IBAN_CODE", "INSURANCE_ID", "IN_AADHAAR", "IN_PAN",
    "IP_ADDRESS", "LICENSE", "MAC_ADDRESS", "NATIONAL_ID", "PASSPORT", "PASSWORD", "PATIENT_ID", "PHONE_NUMBER",
    "ROUTING_NUMBER", "SECRET", "STREET_ADDRESS", "TAX_ID", "UK_NHS", "UK_NINO", "URL", "USERID", "US_DRIVER_LICENSE",
    "US_ITIN", "US_PASSPORT", "US_SSN", "VEHICLE_ID", "VOTER_ID",
)  # fmt: skip
#: Credentials are looked for by every policy that looks for anything.
SECRETS = ("SECRET", "PASSWORD")
#: Names of entities that older policies use → what is found for them.
ALSO = {"US_PASSPORT": "PASSPORT"}
KNOWN_ENTITIES = tuple(sorted(NER_ENTITIES + PATTERN_ENTITIES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A redaction policy. `threshold` is the least score, 0 to 1, at which a finding counts.

    With `pseudonyms` for a `session`, the same value has the same one in all of its calls, until there was none for
    `session_hours`.

    Raises ValueError for a word that is not known; the message lists those that are.
    """

    name: str
    outbound: str
    stored: str
    entities: tuple[str, ...]
    threshold: float = 0.4
    pseudonyms: str = "call"
    session_hours: int = 24

    @property
    def scans(self) -> bool:
        """Whether text has to be analysed for it."""
        return bool(self.entities) and (self.outbound != "off" or self.stored == "redacted")

    @property
    def needs_names(self) -> bool:
        """Whether text has to be analysed for names or places, which takes more than patterns."""
        return self.scans and not self.finds.isdisjoint(NER_ENTITIES)

    @property
    def finds(self) -> frozenset[str]:
        """The entities that are looked for."""
        return _finds(self.entities)

    def __post_init__(self) -> None:
        _known("outbound", self.outbound, OUTBOUND)
        _known("stored", self.stored, STORED)
        _known("pseudonyms", self.pseudonyms, PSEUDONYMS)
        if not SESSION_HOURS[0] <= self.session_hours <= SESSION_HOURS[1]:
            raise ValueError(
                f"session_hours must be from {SESSION_HOURS[0]} to {SESSION_HOURS[1]}, not {self.session_hours}."
            )
        for entity in self.entities:
            _known("entities", entity, KNOWN_ENTITIES)
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be between 0 and 1, not {self.threshold}.")


@cache
def _finds(entities: tuple[str, ...]) -> frozenset[str]:
    if not entities:
        return frozenset()
    return frozenset((*entities, *SECRETS, *(ALSO[entity] for entity in entities if entity in ALSO)))


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
