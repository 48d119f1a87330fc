"""Numbers that states, banks and others give to people: by checksum and form, or by the words before them."""

import re

from redaction.patterns import checks
from redaction.patterns.rule import Rule, rule

_SPACED = r"[ \u2011-]?"

MONEY: tuple[Rule, ...] = (
    # ISO/IEC 7812: 12 to 19 digits, single or in groups.
    rule("CREDIT_CARD", r"\b(?<![.+-])(?<!\d )[2-6]\d{3}(?:[ -]?\d{2,7}){2,5}(?![\w]|[.-]\d)", 0.9, check=checks.card, digits=12, reach=(4, 30), first="digits"),
    # mistyped ones, and those that someone made up, where they are said to be a card's
    rule("CREDIT_CARD", r"\b(?<![.-])(?<!\d )[2-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{3,4}(?![\w]|[.-]\d)", 0.2, digits=15, reach=(4, 30), near=r"(?:credit|debit)? ?cards?\b|visa|mastercard|amex|karte", first="digits"),
    rule("CREDIT_CARD", r"(?i)(?<![\w-])(?:[x*•]{4}[ -]?){3}\d{4}\b", 0.5, needs="xxxx|****|••••"),
    # ISO 13616.
    rule("IBAN_CODE", r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{1,4}){3,9}(?!\w)", 1.0, check=checks.iban, digits=6, reach=(30, 44), mixed=True),
    rule("IBAN_CODE", r"\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b", 1.0, check=checks.iban, digits=6, reach=(30, 44), mixed=True, longest=15),
    rule("IBAN_CODE", r"(?i:\biban\b(?: number| no\.?| is| was|[:#]){0,2})\s{0,2}[\"']?(?P<value>[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{1,4}){2,9}|[a-z]{2}\d{2}[a-z0-9]{8,30})\b", 0.8, needs="iban"),
    rule("CRYPTO", r"\b(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[02-9ac-hj-np-z]{11,71})(?!\w)", 1.0, check=checks.bitcoin, digits=2, reach=(64, 80), longest=14, mixed=True),
    # EIP-55: 20 bytes in hexadecimal.
    rule("CRYPTO", r"\b0x[0-9a-fA-F]{40}(?!\w)", 0.7, needs="0x", reach=(2, 48)),
    rule("ROUTING_NUMBER", r"\b(?<!-)\d{9}(?![\w-])", 0.2, check=checks.routing, near=r"routing|aba\b|rtn\b|wire|transit", digits=9, reach=(2, 6), first="digits"),
    # UK sort code (Pay.UK): three pairs.
    rule("BANK_ACCOUNT", r"(?i)(?<![^\W_])sort[ _-]?code\b(?:\s?\.{2,40}|[\"'*|=>:is\s]{1,6})\s{0,3}[\"']?(?P<value>\d{2}[ -]?\d{2}[ -]?\d{2})\b", 0.85, needs="sort"),
)  # fmt: skip

STATES: tuple[Rule, ...] = (
    # SSA; with other separators and without any only in context.
    rule("US_SSN", r"\b(?<!-)\d{3}-\d{2}-\d{4}(?![\w-])", 0.75, check=checks.ssn, near=r"ssn|social", digits=9, reach=(2, 16), first="digits"),
    rule("US_SSN", r"\b(?<!-)\d{3}[ .-]?\d{2}[ .-]?\d{4}(?![\w-])", 0.2, near=r"ssn|social sec", digits=9, reach=(2, 16), first="digits"),
    rule("US_ITIN", r"\b(?<!-)9\d{2}[ -]\d{2}[ -]\d{4}(?![\w-])", 0.6, check=checks.itin, near=r"itin|taxpayer|tax id", digits=9, reach=(2, 16), first="digits"),
    # IRS: employer identification number; as a personal tax id in context.
    rule("TAX_ID", r"\b(?<!-)\d{2}-\d{7}(?![\w-])", 0.35, near=r"ein\b|tin\b|tax|employer|irs\b|fein", digits=9, reach=(2, 14), first="digits"),
    # HMRC, National Insurance Manual NIM39110: prefix without D, F, I, Q, U, V, no BG, GB, KN, NK, NT, TN, ZZ.
    rule("UK_NINO", rf"(?i)\b(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]{_SPACED}\d{{2}}{_SPACED}\d{{2}}{_SPACED}\d{{2}}{_SPACED}[A-D](?!\w)", 0.9, digits=6, reach=(6, 16), shape=r"\d[ \u2011-]?[A-Da-d](?!\w)"),
    rule("UK_NHS", r"\b(?<!-)\d{3}[ -]\d{3}[ -]\d{4}(?![\w-])", 0.7, check=checks.nhs, near=r"nhs|patient", digits=10, reach=(2, 16), first="digits"),
    rule("UK_NHS", r"\b(?<!-)\d{10}(?![\w-])", 0.1, check=checks.nhs, near=r"nhs", digits=10, reach=(2, 14), first="digits"),
    rule("NATIONAL_ID", r"\b(?:\d{2}\.?\d{3}\.?\d{3}|[XYZ]-?\d{7})[ -]?[A-HJ-NP-TV-Z](?!\w)", 0.8, check=checks.spanish_id, digits=7, reach=(4, 16), shape=r"\d[ -]?[A-HJ-NP-TV-Z](?!\w)"),
    rule("NATIONAL_ID", r"\b[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}(?!\w)", 0.85, check=checks.nir, digits=12, reach=(2, 26), first="digits"),
    rule("NATIONAL_ID", r"(?i)\b[A-Z]{6}[0-9L-NP-V]{2}[A-EHLMPR-T][0-9L-NP-V]{2}[A-Z][0-9L-NP-V]{3}[A-Z](?!\w)", 0.9, check=checks.codice_fiscale, digits=4, reach=(16, 18), longest=16, mixed=True),
    rule("NATIONAL_ID", r"\b(?:19|20)?\d{6}[-+]\d{4}(?!\w)", 0.7, check=checks.swedish_id, near=r"personn|samordn", digits=10, reach=(2, 16), first="digits"),
    rule("NATIONAL_ID", r"\b\d{9}(?!\w)", 0.1, check=checks.bsn, near=r"bsn\b|burgerservice|sofi", digits=9, reach=(2, 12), first="digits"),
    rule("NATIONAL_ID", r"\b\d{11}(?!\w)", 0.2, check=checks.pesel, near=r"pesel", digits=11, reach=(2, 14), first="digits"),
    rule("TAX_ID", r"\b\d{2} ?\d{3} ?\d{3} ?\d{3}(?!\w)", 0.2, check=checks.steuer_id, near=r"steuer|idnr|tax|tin\b", digits=11, reach=(2, 18), first="digits"),
    # European VAT numbers (Directive 2006/112/EC, annex; VIES), in context.
    rule("TAX_ID", r"\b(?:ATU\d{8}|BE ?[01]\d{9}|DE ?\d{9}|DK ?\d{8}|ES ?[A-Z0-9]\d{7}[A-Z0-9]|FI ?\d{8}|FR ?[A-Z0-9]{2} ?\d{9}|GB ?\d{3} ?\d{4} ?\d{2}|"
         r"IE ?\d{7}[A-Z]{1,2}|IT ?\d{11}|LU ?\d{8}|NL ?\d{9}B\d{2}|PL ?\d{10}|PT ?\d{9}|SE ?\d{12})(?!\w)", 0.35, near=r"vat|ust|tva|iva|btw|tax|mwst|partita", digits=8, reach=(8, 20)),
    # Income Tax Department of India: the fourth letter is the kind of holder; UIDAI.
    rule("IN_PAN", r"\b[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z](?!\w)", 0.6, near=r"pan\b|tax", digits=4, reach=(8, 8), mixed=True),
    rule("IN_AADHAAR", r"\b(?<!-)[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}(?![\w-])", 0.3, check=checks.aadhaar, near=r"aadha?ar|uid", digits=12, reach=(2, 18), first="digits"),
    # ICAO 9303: the machine-readable zone's two lines.
    rule("PASSPORT", r"\bP[A-Z<][A-Z]{3}[A-Z<]{39}(?!\w)|\b[A-Z0-9<]{9}\d[A-Z]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}\d{2}(?!\w)", 1.0, needs="<", reach=(60, 60)),
)  # fmt: skip

#: What stands between a label and its value: "number is", "no.", ": ", "#", "(", the quotes and joints of a field's name in JSON or
#: code, the end of a tag, the edge of a table's cell, the dots of a form, in any of these orders.
_LINK = (
    r"(?:[\s_]{1,2}(?:card|file|account|acct|registration|policy|member|membership|record|identification|id))?s?"
    r"(?:[\s_]{0,2}(?:numbers?|num\b\.?|no\b\.?|nr\b\.?|id(?:entifier)?\b|code|details|#|№)(?:\s?\*{0,2}\s?[|>])?)?(?:\s{1,2}(?:is|was|as|of|ist|est|es|è|är|like|such as|ending (?:in|with)|ends (?:in|with)))?"
    r"[\"'`*]{0,3}\s{0,2}(?:[:=#(-]{0,2}|\.{2,40})\s{0,2}[\"'`*]{0,2}"
)
#: Digits in groups with blanks between them; or a code with a digit in it, which may begin with a mark of its kind ("DL: ").
_VALUE = (
    r"(?P<value>\d{2,6}(?: \d{2,6}){1,5}(?!\w)"
    r"|#?(?:[A-Z]{1,5}[:/ -]{1,2}){0,2}(?=[\w/.-]{0,30}\d)[A-Z0-9](?:[A-Z0-9]|[/.-](?=[A-Z0-9])){2,29}(?![\w])"
    r"|(?=[a-z]{1,3}\d{3})[a-z0-9]{5,20}(?![\w]))"
)


def _numbered(text: str) -> bool:
    """Whether a labelled value is a number somebody was given, not a year, a date or a sum."""
    number = checks.digits(text)
    # Some states' numbers are mostly letters.
    enough = len(number) >= 3 or (len(number) == 2 and len(text) >= 8 and text.isupper())
    return enough and not re.fullmatch(r"(?:19|20)\d\d|(?:19|20)\d\d-\d\d-\d\d|\d+\.\d\d|#?\d{1,2}", text)


def _labelled(entity: str, label: str, needs: str, score: float = 0.9) -> Rule:
    return rule(
        entity,
        rf"(?<![^\W_])(?i:(?:{label}){_LINK}){_VALUE}",
        score,
        needs=needs,
        check=_numbered,
        reach=(40, 110),
        within=2,
    )


LABELLED: tuple[Rule, ...] = (
    _labelled("PASSPORT", r"passports?|reisepass|passeport|pasaporte|passaporto", "passport|reisepass|passeport|pasaporte|passaporto"),
    _labelled("US_DRIVER_LICENSE", r"driv(?:er|ing)(?:'?s)?[ _-]?licen[cs]e|\bdl\b|führerschein|permis de conduire", "driv|dl |dl:|dl#|führer|permis"),
    _labelled("BANK_ACCOUNT", r"(?:bank|checking|savings?|current|personal|deposit|payroll|credit union)?[\s_]?(?:account|acct|a/c|acc(?=\s?n(?:o|um|umber)\b))|kontonummer", "account|acct|accn|acc n|a/c|konto"),
    _labelled("ROUTING_NUMBER", r"routing|\baba\b|\brtn\b", "routing|aba |aba:|rtn"),
    _labelled("BANK_ACCOUNT", r"swift(?:/bic)?|\bbic\b|ifsc", "swift|bic |bic:|ifsc", 0.6),
    _labelled("TAX_ID", r"\btin\b|\bein\b|\bfein\b|tax(?:payer)?(?:[ -]?(?:id(?:entification)?|payer|file|reference))?|\bvat\b|\butr\b|\bust-?id(?:nr)?\b|steuer-?(?:id|nummer)|\btva\b",
               "tin |tin:|ein |ein:|tax|vat|utr|ust-id|ustid|steuer|tva"),
    _labelled("PATIENT_ID", r"patients?|medical(?:[ _](?:record|file))?|\bmrn\b|health(?:[ _]record)?|hospital|chart", "patient|medical|mrn|health|hospital|chart"),
    _labelled("INSURANCE_ID", r"(?:health[ _])?insurance|polic(?:y|ies)|member(?:ship)?|subscriber|medicare|medicaid|claim|group", "insurance|polic|member|subscriber|medica|claim|group"),
    _labelled("NATIONAL_ID", r"national(?:[ _](?:id|identity|identification|insurance))?|identity[ _]card|id[ _]card|personalausweis|\bdni\b|\bnie\b|\bcnp\b|\bcpf\b|\bcurp\b|citizen(?:ship)?|resident|residence[ _]permit|pesel(?: to)?|bsn|burgerservicenummer|personnummer|codice fiscale|\bnif\b|sécurité sociale",
               "national i|national_i|national n|national_n|identity|id card|id_card|pesel|bsn|burgerservice|personnummer|codice|nif|sécurité|ausweis|dni|nie |nie:|cnp|cpf|curp|citizen|residen"),
    _labelled("US_SSN", r"\bssn\b|social[ _-]security(?:[ _]number)?", "ssn|social"),
    _labelled("IN_AADHAAR", r"aadha?ar|\buid\b", "aadha|uid"),
    _labelled("IN_PAN", r"\bpan\b", "pan "),
    _labelled("VOTER_ID", r"voter(?:'?s)?|\bepic\b", "voter|epic"),
    _labelled("LICENSE", r"(?:professional|medical|nursing|business|pilot|firearms?|practice|bar|state)?\s?licen[cs]e|permit|certificate|\bnpi\b|\bdea\b", "licen|permit|certificate|npi|dea |dea:", 0.7),
    _labelled("VEHICLE_ID", r"\bvin\b|chassis|licen[cs]e[ _]plate|registration[ _]plate|number[ _]plate|vehicle[ _]registration", "vin |vin:|chassis|plate|vehicle", 0.7),
    _labelled("USERID", r"(?:identification|\bid)\s(?:number|no\b|code|#)|(?-i:\bID\b)", "identification|id ", 0.55),
    _labelled("USERID", r"employee|staff|badge|student|tribal|customer|client|user|case", "employee|staff|badge|student|tribal|customer|client|user|case", 0.6),
)  # fmt: skip

RULES = (*MONEY, *STATES, *LABELLED)
