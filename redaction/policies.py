"""What redaction does with which entity, on the way out and in storage."""

from dataclasses import dataclass

OUTBOUND = ("off", "mask", "pseudonymise", "refuse")
STORED = ("none", "hash", "redacted", "full")

#: Entities found by the language model; a policy that asks for none of them needs no analysis by it.
NER_ENTITIES = ("PERSON", "LOCATION", "NRP", "ORGANIZATION")
#: Entities found by patterns, checksums and context words.
PATTERN_ENTITIES = (
    "CREDIT_CARD", "CRYPTO", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "MAC_ADDRESS", "PHONE_NUMBER", "SECRET",
    "STREET_ADDRESS", "UK_NHS", "UK_NINO", "URL", "US_ITIN", "US_PASSPORT", "US_SSN",
)  # fmt: skip
KNOWN_ENTITIES = tuple(sorted(NER_ENTITIES + PATTERN_ENTITIES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A redaction policy. `threshold` is the least score, 0 to 1, at which a finding counts.

    Raises ValueError for a word that is not known; the message lists those that are.
    """

    name: str
    outbound: str
    stored: str
    entities: tuple[str, ...]
    threshold: float = 0.4

    @property
    def scans(self) -> bool:
        """Whether text has to be analysed for it."""
        return bool(self.entities) and (self.outbound != "off" or self.stored == "redacted")

    def __post_init__(self) -> None:
        _known("outbound", self.outbound, OUTBOUND)
        _known("stored", self.stored, STORED)
        for entity in self.entities:
            _known("entities", entity, KNOWN_ENTITIES)
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be between 0 and 1, not {self.threshold}.")


def _known(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{field}: {value!r} is not known; choose from {', '.join(choices)}.")


DEFAULT = Policy(
    name="default",
    outbound="pseudonymise",
    stored="redacted",
    entities=(
        "PERSON", "LOCATION", "STREET_ADDRESS", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS",
        "SECRET", "UK_NHS", "UK_NINO", "US_ITIN", "US_PASSPORT", "US_SSN",
    ),
)  # fmt: skip
