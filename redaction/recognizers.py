"""Recognisers of our own, and those of Presidio that earn their keep; noisy ones are left out.

Imported only with the engine: Presidio takes seconds to load.
"""

from presidio_analyzer import EntityRecognizer, Pattern, PatternRecognizer
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    CryptoRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    MacAddressRecognizer,
    NhsRecognizer,
    PhoneRecognizer,
    UkNinoRecognizer,
    UrlRecognizer,
    UsItinRecognizer,
    UsPassportRecognizer,
    UsSsnRecognizer,
)

PHONE_REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "IN", "CA", "AU")

#: Credentials are told by their issuers' prefixes, or by the word before them.
SECRETS = (
    ("openai or anthropic key", r"\bsk-[A-Za-z0-9_-]{16,}", 1.0),
    ("stripe key", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}", 1.0),
    ("aws key id", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", 1.0),
    ("github token", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})", 1.0),
    ("slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}", 1.0),
    ("google key", r"\bAIza[0-9A-Za-z_-]{30,}", 1.0),
    ("tollhouse key", r"\bth_[A-Za-z0-9_-]{30,}", 1.0),
    ("json web token", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", 1.0),
    ("private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]{1,10000}?-----END [A-Z ]*PRIVATE KEY-----", 1.0),
    ("bearer token", r"(?i)(?<=\bbearer )[A-Za-z0-9._~+/-]{16,}=*", 0.9),
    (
        "named secret",
        r"(?i)(?<=\b(?:password|passwd|passphrase|pwd|api[ _-]?key|secret|access[ _-]?token)\b[\"']?"
        r"(?:\s*[:=]\s*|\s+(?:is|was|to)\s*:?\s*)[\"']?)"
        r"(?=\S*[\d\W_])[^\s\"',;]{5,}",
        0.8,
    ),
)
STREET = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Place|Pl|Terrace|Way|Parkway|Pkwy|"
    r"Circle|Cir|Crescent|Highway|Hwy|Close|Gardens|Row|Alley|Trail|Plaza|Quay|Mews)"
)
ADDRESSES = (
    (
        "number and street",
        rf"\b\d{{1,5}}[A-Za-z]?,? (?:[NSEW]\.? |North |South |East |West )?(?:[A-Z][\w'.-]+ ){{1,4}}{STREET}\b\.?"
        r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|#)\.? ?[\w-]+)?",
        0.8,
    ),
    (
        "european street",
        r"\b[A-ZÄÖÜ][\wäöüß.-]+"
        r"(?:straße|strasse|str\.|weg|gasse|allee|platz|laan|straat|gracht) \d{1,4}[a-z]?\b",
        0.8,
    ),
    (
        "via, rue, calle",
        r"\b(?:[Rr]ue|[Vv]ia|[Cc]alle|[Aa]venida|[Pp]iazza|[Pp]laza|[Cc]hemin) "
        r"(?:d[eiu'](?:lla|lle|l)? ?)?(?:[A-Z][\w'-]+ ?){1,4},? \d{1,4}\b",
        0.7,
    ),
    ("post office box", r"(?i)\bP\.? ?O\.? ?Box \d+\b", 0.8),
    ("british postcode", r"\b(?:GIR 0AA|[A-PR-UWYZ][A-HK-Y]?\d[A-HJKPSTUW\d]? \d[ABD-HJLNP-UW-Z]{2})\b", 0.7),
    ("state and zip code", r"\b(?:[A-Z][a-z]+,? )?[A-Z]{2} \d{5}(?:-\d{4})?\b", 0.6),
)  # fmt: skip


def registered() -> list[EntityRecognizer]:
    """Every recogniser that works by patterns and checksums."""
    return [
        CreditCardRecognizer(),
        CryptoRecognizer(),
        EmailRecognizer(),
        IbanRecognizer(),
        IpRecognizer(),
        MacAddressRecognizer(),
        NhsRecognizer(),
        PhoneRecognizer(supported_regions=PHONE_REGIONS),
        UkNinoRecognizer(),
        UrlRecognizer(),
        UsItinRecognizer(),
        UsPassportRecognizer(),
        UsSsnRecognizer(),
        _patterns("SECRET", SECRETS),
        _patterns("STREET_ADDRESS", ADDRESSES),
    ]


def _patterns(entity: str, patterns: tuple[tuple[str, str, float], ...]) -> PatternRecognizer:
    return PatternRecognizer(
        supported_entity=entity,
        name=f"Tollhouse {entity}",
        patterns=[Pattern(name, regex, score) for name, regex, score in patterns],
        global_regex_flags=0,
    )
