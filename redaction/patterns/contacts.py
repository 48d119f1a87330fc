"""Addresses of machines and people on networks, and telephone numbers."""

import re
from functools import cache
from types import ModuleType

from redaction.patterns.checks import digits, ipv4
from redaction.patterns.rule import Rule, rule

#: Regions whose national numbers are known without a country code; all others are found with one, or by context.
REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "BE", "CH", "AT", "IE", "IN", "AU")
#: Forms that groups of digits have elsewhere: dates, times, versions and sums, ranges of years.
NO_PHONE = re.compile(
    r"^(?:(?:19|20)\d{2}[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:[0-2]?\d|3[01])(?!\d).*|[0-3]?\d[-/. ][0-3]?\d[-/. ](?:19|20)?\d{2}|"
    r"(?:19|20)\d{2} ?- ?(?:19|20)\d{2}|\d{1,3}(?:[ .]\d{3}){1,4}|\d+\.\d+|\d{3}-\d{2}-\d{4}|\d{1,2} \d{1,2}|[0-9]{5}(?:-\d{4})?)$"
)
#: How national numbers are grouped where no region's plan is known: NANP, France and other pairs, two or more groups of 3 and 4.
GROUPED = re.compile(
    r"^(?:\(?[2-9]\d{2}\)?[ .-]{0,2}\d{3}[ .-]\d{4}|\(?0\d{1,4}\)?[ ./-]{1,2}\d{2,4}(?:[ .-]?\d{2,4}){1,3}|\d{2}(?:[ .-]\d{2}){3,4}|"
    r"0\d{9,10}|\d{3}[ -]\d{4}|\(\d{2,5}\) ?\d{2,4}(?:[ .-]?\d{2,4}){1,3}|\d{2,3}[ -]\d{3}[ -]\d{2}[ -]\d{2}|\d{3} \d{3} \d{3,4}|"
    r"\d{2} \d{4} \d{4}|\d{4}[ -]\d{3}[ -]\d{3,4})$"
)
EXTENSION = re.compile(r"(?i)\s?(?:x|ext\.?|extension|#)\s?\d{1,6}$")


@cache
def _plans() -> ModuleType:
    # 1.5 MB and a few ms; only texts with digits in groups need it.
    import phonenumbers

    return phonenumbers


def phone(text: str) -> bool:
    """Whether digits have the form of a telephone number, or are valid by a region's numbering plan (libphonenumber).

    A number with a country code (ITU-T E.164: at most 15 digits) has to be possible there.
    """
    number = EXTENSION.sub("", text).strip()
    if not 7 <= len(digits(number)) <= 15 or NO_PHONE.match(number):
        return False
    if number.startswith(("+", "00", "(+")):
        return True
    return bool(GROUPED.match(number)) or _valid("".join(c for c in number if c.isdigit()))


def _valid(number: str) -> bool:
    if not 9 <= len(number) <= 11:
        return False
    plans = _plans()
    for region in REGIONS:
        try:
            if plans.is_valid_number(plans.parse(number, region)):
                return True
        except plans.NumberParseException:
            continue
    return False


#: Top-level domains that are told without a scheme before them; those that file names end in are left out.
_TLD = (
    r"(?:com|org|net|edu|gov|mil|int|info|biz|io|co|app|dev|ai|eu|uk|us|de|fr|es|it|nl|be|ch|at|ie|pt|dk|se|no|fi|pl|cz|sk|hu|"
    r"ro|bg|gr|ca|au|nz|jp|cn|in|br|mx|za|ru|ua|tr|kr|sg|hk)"
)
_BODY = r"[^\s<>\"'`{}|\\^\[\]]"

RULES: tuple[Rule, ...] = (
    # RFC 5322 addr-spec without quoted local parts; %40 is an @ inside an URL.
    rule("EMAIL_ADDRESS", r"(?<![\w.+%-])[\w!#$&*+/=?^{|}~.-]{0,20}?(?P<value>\b[\w.+-]{1,64}(?:@|%40)(?:[\w-]{1,63}\.){1,6}[^\W\d_][\w-]{1,23})\b", 1.0, needs="@|%40"),
    # RFC 3986.
    rule("URL", rf"(?i)\b(?:https?|ftp|wss?)://{_BODY}{{1,2000}}(?<![.,;:!?)])", 0.6, needs="://"),
    rule("URL", rf"(?i)(?<![\w@./-])www\.(?:[\w-]{{1,63}}\.){{1,5}}[a-z]{{2,24}}(?:[/?#]{_BODY}{{0,2000}}(?<![.,;:!?)]))?", 0.6, needs="www."),
    rule("URL", rf"(?<![\w@./%-])(?:[A-Za-z0-9][\w-]{{1,62}}\.){{1,4}}{_TLD}\b(?!\.?[\w@(-])(?:[/?#]{_BODY}{{0,2000}}(?<![.,;:!?)]))?", 0.5, needs="."),
    # RFC 791; RFC 4291 with at least two groups, not times.
    rule("IP_ADDRESS", r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?(?![\w]|\.\d)", 0.9, needs=".", check=ipv4),
    rule("IP_ADDRESS", r"(?<![\w:.])(?=[0-9A-Fa-f:.]{2,45}(?![\w:]))(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,6}(?![\w:])", 0.8, needs=":", check=lambda t: _ipv6(t)),
    rule("IP_ADDRESS", r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){1,6}:(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,5})?(?![\w:])", 0.8, needs="::", check=lambda t: _ipv6(t)),
    # IEEE 802: six octets.
    rule("MAC_ADDRESS", r"(?<![\w:-])[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![\w:-])", 0.95, needs=":|-"),
    rule("MAC_ADDRESS", r"(?<![\w.])(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}(?![\w.])", 0.6, needs="."),
    rule(
        "PHONE_NUMBER",
        r"(?<![\w+$€£%#.:/=-])(?:\(?\+\d{1,3}\)?[ .-]{0,2}|\(?00\d{1,3}\)?[ .-]{1,2})?(?:\(\d{1,5}\)[ .-]{0,2})?\d{1,12}(?:[ .-]{1,2}\d{1,10}|[ ./-]?\(\d{1,5}\)[ .-]?\d{1,10}){0,6}"
        r"(?:\s?(?:x|ext\.?|extension|#)\s?\d{1,6})?(?![\w€%]|[.,:/-]\d)",
        0.45,
        check=phone,
        near=r"phone|tel(?:ephone)?\b|telefon|téléphone|mobile|mobil|cell|call(?:ed|ing|s)?\b|fax|contact|text me|sms|whatsapp|dial|"
        r"reach|ring|number is|hotline|home\b|office\b|handy|messages to",
    ),
    # Names of accounts on services, and behind their label.
    rule("USERID", r"(?i)\buser[ _-]?(?:id|name)s?[\"']?(?:\s{0,3}(?::|=|#)|\s(?:is|was))?\s{1,3}[\"'`]?(?P<value>(?=[\w.-]{0,40}[\d._-])[A-Za-z0-9][\w.-]{2,40})\b", 0.7, needs="user"),
    rule("USERID", r"(?i)\b(?:user[ _-]?(?:id|name)|login|handle)[\"']?\s{0,3}[:=]\s{0,3}[\"'`]?(?P<value>@?[A-Za-z0-9][\w.-]{2,40})\b(?![(@.])", 0.6, needs="user|login|handle"),
    rule("USERID", r"(?<![\w@/.])(?:/home/|/Users/|C:\\Users\\)(?P<value>[\w.-]{2,32})\b", 0.6, needs="home|users"),
)  # fmt: skip


def _ipv6(text: str) -> bool:
    groups = text.split(":")
    return ("::" in text and text.count("::") == 1 and len(groups) <= 8 and len(text) > 3) or len(groups) == 8
