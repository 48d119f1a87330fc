"""Addresses of machines and people on networks, and telephone numbers."""

import re

from redaction.patterns.checks import digits, ipv4, ipv6
from redaction.patterns.rule import Rule, rule

#: Forms that groups of digits have elsewhere: dates, times, versions and sums, ranges of years.
NO_PHONE = re.compile(
    r"^(?:(?:19|20)\d{2}[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:[0-2]?\d|3[01])(?!\d).*|[0-3]?\d[-/. ][0-3]?\d[-/. ](?:19|20)?\d{2}|"
    r"(?:19|20)\d{2} ?- ?(?:19|20)\d{2}|(?!\d{3} \d{3} \d{3}$)\d{1,3}(?:[ .]\d{3}){1,4}|\d+\.\d+|\d{3}-\d{2}-\d{4}|\d{1,2} \d{1,2}|[0-9]{5}(?:-\d{4})?)$"
)
#: How national numbers are grouped: North America; trunk zero and area code (UK, Germany, Austria, Italy …); pairs (France,
#: Belgium, Nordic countries); groups of two to four (Spain, Switzerland, Australia, India).
GROUPED = re.compile(
    r"^(?:\(?[2-9]\d{2}\)?[ .-]{0,2}\d{3}[ .-]\d{4}|\(?0\d{1,4}\)?[ ./-]{1,2}\d{2,4}(?:[ .-]?\d{2,4}){1,3}|\d{2}(?:[ .-]\d{2}){3,4}|"
    r"0\d{9,10}|\d{3}-\d{4}|\(\d{2,5}\) ?\d{2,4}(?:[ .-]?\d{2,4}){1,3}|\d{2,3}[ -]\d{3}[ -]\d{2}[ -]\d{2}|\d{3}(?: \d{2}){3}|\d{3} \d{3} \d{4}|"
    r"\d{2} \d{4} \d{4}|\d{4}[ -]\d{3}[ -]\d{3,4})$"
)
EXTENSION = re.compile(r"(?i)\s?(?:x|ext\.?|extension|#)\s?\d{1,6}$")


def phone(text: str) -> bool:
    """Whether so many digits can be a telephone number at all (ITU-T E.164), and are neither a date nor a sum."""
    number = _without_extension(text)
    return 7 <= len(digits(number)) <= 15 and not NO_PHONE.match(number)


def grouped(text: str) -> bool:
    """Whether a telephone number's digits are grouped as they usually are: behind a country code, or as national plans do it."""
    number = _without_extension(text)
    return number.startswith(("+", "00", "(+")) or bool(GROUPED.match(number))


def _without_extension(text: str) -> str:
    return EXTENSION.sub("", text).strip() if "#" in text or "x" in text.lower() else text.strip()


#: Top-level domains that are told without a scheme before them; those that file names end in are left out.
_TLD = (
    r"(?:com|org|net|edu|gov|mil|int|info|biz|io|co|app|dev|ai|eu|uk|us|de|fr|es|it|nl|be|ch|at|ie|pt|dk|se|no|fi|pl|cz|sk|hu|"
    r"ro|bg|gr|ca|au|nz|jp|cn|in|br|mx|za|ru|ua|tr|kr|sg|hk)"
)
_BODY = r"[^\s<>\"'`{}|\\^\[\]]"

_PHONE = (
    r"(?<![\w+$€£%#.:/=-])(?:\(?\+\d{1,3}\)?[ .-]{0,2}|\(?00\d{1,3}\)?[ .-]{1,2})?(?:\(\d{1,5}\)[ .-]{0,2})?"
    r"\d{1,12}(?:[ .-]{1,2}\d{1,10}|[ ./-]?\(\d{1,5}\)[ .-]?\d{1,10}){0,6}(?:\s?(?:x|ext\.?|extension|#)\s?\d{1,6})?(?![\w€%]|[.,:/-]\d)"
)
_CALL = (
    r"phone|tel(?:ephone)?\b|tel[eé]fon|téléphone|telefoon|tlf\b|mobile|mobil|móvil|cell|call(?:ed|ing|s)?\b|fax|contact|text me|sms|whatsapp|dial|reach|ring\b|"
    r"hotline|home\b|office\b|handy|messages to|(?:my|his|her|their|your|new|mijn|mitt|meine|mój) (?:number|numm?er)"
)

RULES: tuple[Rule, ...] = (
    # RFC 5322 addr-spec without quoted local parts; %40 is an @ inside an URL.
    rule("EMAIL_ADDRESS", r"(?<![\w.+-])[\w.+-]{1,128}(?:@|%40)(?:[\w-]{1,63}\.){1,6}[^\W\d_][\w-]{1,23}\b", 1.0, needs="@|%40", reach=(90, 180)),
    # Handles of payment providers, which have no domain (NPCI, UPI handles).
    rule("EMAIL_ADDRESS", r"(?<![\w.+-])[\w.-]{2,64}@(?:ok(?:axis|hdfcbank|icici|sbi)|ybl|ibl|axl|apl|upi|paytm)\b(?!\.\w)", 0.8, needs="@", reach=(70, 20)),
    # RFC 3986.
    rule("URL", rf"(?i)\b(?:https?|ftp|wss?)://{_BODY}{{1,2000}}(?<![.,;:!?)])", 0.6, needs="http |https |ftp |ws |wss ", first="words"),
    rule("URL", rf"(?i)\b(?<![@./-])www\.(?:[\w-]{{1,63}}\.){{1,5}}[a-z]{{2,24}}(?:[/?#]{_BODY}{{0,2000}}(?<![.,;:!?)]))?", 0.6, needs="www ", first="words"),
    rule("URL", rf"\b(?<![@./%-])(?:[A-Za-z0-9][\w-]{{1,62}}\.){{1,4}}{_TLD}\b(?!\.?[\w@(-])(?:[/?#]{_BODY}{{0,2000}}(?<![.,;:!?)]))?", 0.5, first="dotted"),
    # RFC 791; RFC 4291 with at least two groups, not times.
    rule("IP_ADDRESS", r"\b(?<!\.)(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?(?![\w]|\.\d)", 0.9, digits=4, reach=(4, 24), needs=".", check=ipv4, first="digits", shape=r"\.\d{1,3}\.\d"),
    rule("IP_ADDRESS", r"\b(?<![:.])(?=[0-9A-Fa-f:.]{2,45}(?![\w:]))(?:[0-9A-Fa-f]{1,4}:){2,7}(?::?[0-9A-Fa-f]{1,4}){1,6}(?![\w:])", 0.8, digits=2, reach=(44, 44), needs=":", check=ipv6, shape=r":(?::|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:)"),
    rule("IP_ADDRESS", r"\b(?<![:.])(?:[0-9A-Fa-f]{1,4}:){1,6}:(?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,5})?(?![\w:])", 0.8, needs="::", reach=(44, 44), check=ipv6),
    # IEEE 802: six octets.
    rule("MAC_ADDRESS", r"\b(?<![:-])[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![\w:-])", 0.95, digits=1, reach=(18, 18), needs=":|-", shape=r"[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]"),
    rule("MAC_ADDRESS", r"\b(?<!\.)(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}(?![\w.])", 0.6, digits=1, reach=(16, 16), needs=".", shape=r"\.[0-9A-Fa-f]{4}\."),
    # ITU-T E.123 and what people make of it; without the usual groups only where it is said to be one.
    rule("PHONE_NUMBER", _PHONE, 0.5, digits=7, first="telephone", check=phone, usual=grouped, near=_CALL),
    # Names of accounts on services, and behind their label.
    rule("USERID", r"(?i)\buser[ _-]?(?:id|name)s?[\"']?(?:\s{0,3}(?::|=|#)|\s(?:is|was))?\s{1,3}[\"'`]?(?P<value>(?=[\w.-]{0,40}[\d._-])[A-Za-z0-9][\w.-]{2,40})\b", 0.7, needs="user"),
    rule("USERID", r"(?i)\b(?:user[ _-]?(?:id|name)|login|handle)[\"']?\s{0,3}[:=]\s{0,3}[\"'`]?(?P<value>@?[A-Za-z0-9][\w.-]{2,40})\b(?![(@.])", 0.6, needs="user|login|handle"),
    # What logs say: a field of its own ("user=jane7"), who logged in (OpenSSH's auth.c: "Accepted publickey for jane7 from").
    rule("USERID", r"(?i)(?<![\w.-])user=[\"']?(?P<value>(?=[a-z_-]{1,40}\d)[a-z][\w-]{2,40})\b(?![(@.\[])", 0.6, needs="user="),
    rule("USERID", r"(?:(?i:logged|signed) (?:in|on) as|Accepted [\w/-]{1,30} for|Failed [\w/-]{1,30} for(?: invalid user)?)\s[\"'`]?(?P<value>(?=[\w.-]{0,40}[\d._-])[A-Za-z0-9][\w.-]{2,40})\b(?![@(])", 0.6, needs="ed in as|ed on as|accepted |failed "),
    rule("USERID", r"(?<![\w@/.])(?:/home/|/Users/|C:\\Users\\)(?P<value>[\w.-]{2,32})\b", 0.6, needs="home|users"),
)  # fmt: skip
