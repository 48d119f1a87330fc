"""Numbers that states, banks and others give to people: by checksum and form, or by the words before them."""

import re
from functools import partial

from redaction.patterns import checks
from redaction.patterns.rule import Rule, rule

_SPACED = r"[ \u2011-]?"

MONEY: tuple[Rule, ...] = (
    # ISO/IEC 7812: 12 to 19 digits, single or in groups.
    rule("CREDIT_CARD", r"(?<![\w.-])[2-6]\d{3}(?:[ -]?\d{2,7}){2,5}(?![\w]|[.-]\d)", 0.9, check=checks.card),
    rule("CREDIT_CARD", r"(?i)(?<![\w-])(?:[x*•]{4}[ -]?){3}\d{4}\b", 0.5, needs="xxxx|****|••••"),
    # ISO 13616.
    rule("IBAN_CODE", r"(?<!\w)[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{1,4}){3,9}(?!\w)", 1.0, check=checks.iban),
    rule("IBAN_CODE", r"(?i)\biban\b[\s:#is]{1,6}(?P<value>[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{1,4}){2,9})\b", 0.8, needs="iban"),
    rule("CRYPTO", r"(?<!\w)(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[02-9ac-hj-np-z]{11,71})(?!\w)", 1.0, check=checks.bitcoin),
    # EIP-55: 20 bytes in hexadecimal.
    rule("CRYPTO", r"(?<!\w)0x[0-9a-fA-F]{40}(?!\w)", 0.7, needs="0x"),
    rule("ROUTING_NUMBER", r"(?<![\w-])\d{9}(?![\w-])", 0.2, check=checks.routing, near=r"routing|aba\b|rtn\b|wire|transit"),
    # UK sort code (Pay.UK): three pairs.
    rule("BANK_ACCOUNT", r"(?i)\bsort[ -]?code\b[\s:is]{1,5}(?P<value>\d{2}[ -]?\d{2}[ -]?\d{2})\b", 0.85, needs="sort"),
)  # fmt: skip

STATES: tuple[Rule, ...] = (
    # SSA; with other separators and without any only in context.
    rule("US_SSN", r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])", 0.75, check=checks.ssn, near=r"ssn|social"),
    rule("US_SSN", r"(?<![\w-])\d{3}[ .-]?\d{2}[ .-]?\d{4}(?![\w-])", 0.2, near=r"ssn|social sec"),
    rule("US_ITIN", r"(?<![\w-])9\d{2}[ -]\d{2}[ -]\d{4}(?![\w-])", 0.6, check=checks.itin, near=r"itin|taxpayer|tax id"),
    # IRS: employer identification number; as a personal tax id in context.
    rule("TAX_ID", r"(?<![\w-])\d{2}-\d{7}(?![\w-])", 0.35, near=r"ein\b|tin\b|tax|employer|irs\b|fein"),
    # HMRC, National Insurance Manual NIM39110: prefix without D, F, I, Q, U, V, no BG, GB, KN, NK, NT, TN, ZZ.
    rule("UK_NINO", rf"(?i)(?<!\w)(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]{_SPACED}\d{{2}}{_SPACED}\d{{2}}{_SPACED}\d{{2}}{_SPACED}[A-D](?!\w)", 0.9),
    rule("UK_NHS", r"(?<![\w-])\d{3}[ -]\d{3}[ -]\d{4}(?![\w-])", 0.7, check=checks.nhs, near=r"nhs|patient"),
    rule("UK_NHS", r"(?<![\w-])\d{10}(?![\w-])", 0.1, check=checks.nhs, near=r"nhs"),
    rule("NATIONAL_ID", r"(?<!\w)(?:\d{2}\.?\d{3}\.?\d{3}|[XYZ]-?\d{7})[ -]?[A-HJ-NP-TV-Z](?!\w)", 0.8, check=checks.spanish_id),
    rule("NATIONAL_ID", r"(?<!\w)[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}(?!\w)", 0.85, check=checks.nir),
    rule("NATIONAL_ID", r"(?i)(?<!\w)[A-Z]{6}[0-9L-NP-V]{2}[A-EHLMPR-T][0-9L-NP-V]{2}[A-Z][0-9L-NP-V]{3}[A-Z](?!\w)", 0.9, check=checks.codice_fiscale),
    rule("NATIONAL_ID", r"(?<!\w)(?:19|20)?\d{6}[-+]\d{4}(?!\w)", 0.7, check=checks.swedish_id, near=r"personn|samordn"),
    rule("NATIONAL_ID", r"(?<!\w)\d{9}(?!\w)", 0.1, check=checks.bsn, near=r"bsn\b|burgerservice|sofi"),
    rule("NATIONAL_ID", r"(?<!\w)\d{11}(?!\w)", 0.2, check=checks.pesel, near=r"pesel"),
    rule("TAX_ID", r"(?<!\w)\d{2} ?\d{3} ?\d{3} ?\d{3}(?!\w)", 0.2, check=checks.steuer_id, near=r"steuer|idnr|tax|tin\b"),
    # European VAT numbers (Directive 2006/112/EC, annex; VIES), in context.
    rule("TAX_ID", r"(?<!\w)(?:ATU\d{8}|BE ?[01]\d{9}|DE ?\d{9}|DK ?\d{8}|ES ?[A-Z0-9]\d{7}[A-Z0-9]|FI ?\d{8}|FR ?[A-Z0-9]{2} ?\d{9}|GB ?\d{3} ?\d{4} ?\d{2}|"
         r"IE ?\d{7}[A-Z]{1,2}|IT ?\d{11}|LU ?\d{8}|NL ?\d{9}B\d{2}|PL ?\d{10}|PT ?\d{9}|SE ?\d{12})(?!\w)", 0.35, near=r"vat|ust|tva|iva|btw|tax|mwst|partita"),
    # Income Tax Department of India: the fourth letter is the kind of holder; UIDAI.
    rule("IN_PAN", r"(?<!\w)[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z](?!\w)", 0.6, near=r"pan\b|tax"),
    rule("IN_AADHAAR", r"(?<![\w-])[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}(?![\w-])", 0.3, check=checks.aadhaar, near=r"aadha?ar|uid"),
    # ICAO 9303: the machine-readable zone's two lines.
    rule("PASSPORT", r"(?<!\w)P[A-Z<][A-Z]{3}[A-Z<]{39}(?!\w)|(?<!\w)[A-Z0-9<]{9}\d[A-Z]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}\d{2}(?!\w)", 1.0, needs="<"),
)  # fmt: skip

#: What stands between a label and its value: "number is", "no.", ": ", "#", "(", in any of these orders.
_LINK = (
    r"(?:\s{1,2}(?:card|account|acct|registration|policy|member|membership|record|identification|id))?s?"
    r"(?:\s{0,2}(?:numbers?|num\b\.?|no\b\.?|nr\b\.?|id(?:entifier)?\b|code|details|#|№))?(?:\s{1,2}(?:is|was|as|of|ending (?:in|with)|ends (?:in|with)))?"
    r"\s{0,2}[:=#(-]{0,2}\s{0,2}[\"'`]?"
)
_VALUE = r"(?P<value>#?(?:[A-Z]{1,5}[:/ -]{1,2}){0,2}(?=[\w/.-]{0,30}\d)[A-Z0-9](?:[A-Z0-9]|[/.-](?=[A-Z0-9])){2,29})(?![\w])"
#: Digits in groups with blanks between them.
_GROUPS = r"(?P<value>\d{2,6}(?: \d{2,6}){1,5})(?!\w)"


def _numbered(text: str) -> bool:
    """Whether a labelled value is a number somebody was given, not a year, a date or a sum."""
    number = checks.digits(text)
    return len(number) >= 3 and not re.fullmatch(r"(?:19|20)\d\d|(?:19|20)\d\d-\d\d-\d\d|\d+\.\d\d|#?\d{1,2}", text)


def _labelled(entity: str, label: str, needs: str, score: float = 0.8) -> tuple[Rule, ...]:
    make = partial(rule, entity, needs=needs, check=_numbered)
    link = rf"\b(?i:(?:{label}){_LINK})"
    return make(link + _VALUE, score), make(link + _GROUPS, score)


LABELLED: tuple[Rule, ...] = (
    *_labelled("PASSPORT", r"passports?|reisepass|passeport|pasaporte|passaporto", "passport|reisepass|passeport|pasaporte|passaporto"),
    *_labelled("US_DRIVER_LICENSE", r"driv(?:er|ing)(?:'?s)?[ -]licen[cs]e|\bdl\b|führerschein|permis de conduire", "driv|dl|führer|permis"),
    *_labelled("BANK_ACCOUNT", r"(?:bank|checking|savings?|current|personal|deposit|payroll|credit union)?\s?(?:account|acct|a/c)|kontonummer", "account|acct|a/c|konto"),
    *_labelled("ROUTING_NUMBER", r"routing|\baba\b|\brtn\b", "routing|aba|rtn"),
    *_labelled("BANK_ACCOUNT", r"swift(?:/bic)?|\bbic\b|ifsc", "swift|bic|ifsc", 0.6),
    *_labelled("TAX_ID", r"\btin\b|\bein\b|\bfein\b|tax(?:payer)?(?:[ -]?(?:id(?:entification)?|payer|file|reference))?|\bvat\b|\butr\b|\bust-?id(?:nr)?\b|steuer-?(?:id|nummer)|\btva\b",
               "tin|ein|tax|vat|utr|ust|steuer|tva"),
    *_labelled("PATIENT_ID", r"patients?|medical(?: record)?|\bmrn\b|health(?: record)?|hospital|chart", "patient|medical|mrn|health|hospital|chart"),
    *_labelled("INSURANCE_ID", r"(?:health )?insurance|polic(?:y|ies)|member(?:ship)?|subscriber|medicare|medicaid|claim|group", "insurance|polic|member|subscriber|medica|claim|group"),
    *_labelled("NATIONAL_ID", r"national(?: (?:id|identity|identification|insurance))?|identity card|id card|personalausweis|\bdni\b|\bnie\b|\bcnp\b|\bcpf\b|\bcurp\b|citizen(?:ship)?|resident|residence permit",
               "national|identity|id card|ausweis|dni|nie|cnp|cpf|curp|citizen|residen"),
    *_labelled("US_SSN", r"\bssn\b|social[ -]security(?: number)?", "ssn|social"),
    *_labelled("IN_AADHAAR", r"aadha?ar|\buid\b", "aadha|uid"),
    *_labelled("IN_PAN", r"\bpan\b", "pan"),
    *_labelled("VOTER_ID", r"voter(?:'?s)?|\bepic\b", "voter|epic"),
    *_labelled("LICENSE", r"(?:professional|medical|nursing|business|pilot|firearms?|practice|bar|state)?\s?licen[cs]e|permit|certificate|\bnpi\b|\bdea\b", "licen|permit|certificate|npi|dea", 0.7),
    *_labelled("VEHICLE_ID", r"\bvin\b|chassis|licen[cs]e plate|registration plate|number plate|vehicle registration", "vin|chassis|plate|vehicle", 0.7),
    *_labelled("USERID", r"employee|staff|badge|student|tribal|customer|client|user|case", "employee|staff|badge|student|tribal|customer|client|user|case", 0.6),
)  # fmt: skip

RULES = (*MONEY, *STATES, *LABELLED)
