"""Credentials: told by their issuers' prefixes, by their form, or by the word before them."""

import re
from math import log2

from redaction.patterns.rule import Rule, rule

#: Values that stand where a secret would, and are none: types, placeholders, references to where the secret is kept.
_NO_VALUE = (
    r"none|null|nil|true|false|undefined|str|string|text|bool|int|required|optional|hidden|redacted|changed?|expired|"
    r"incorrect|invalid|wrong|reset|forgotten|secure|protected|encrypted|hashed|missing|empty|unknown|example|value|here|"
    r"self|this|input|type|field|password|secret|token|manager|policy|env|bearer|basic|[*x.•_-]+|\$(?:[a-z_]\w*|\d|[{(].*)|%[\w(].{0,40}|"
    r"os\.\w.*|process\.env.*|settings\.\w.*|config\.\w.*|self\.\w.*|env\..*|.*\.{3}|\w+_(?:password|secret|token|key)"
)
#: … in quotes: no template's place; without them: neither a call nor an index.
NO_LITERAL = re.compile(rf"(?i)^(?:{_NO_VALUE}|[{{<\[].*[}}>\]])$")
NO_VALUE = re.compile(rf"(?i)^(?:{_NO_VALUE}|.*[(\[{{].*|<.*)$")


def assigned(text: str) -> bool:
    """Whether what is assigned to a password's name could be one."""
    return len(text) >= 4 and not NO_VALUE.match(text)


def quoted(text: str) -> bool:
    """Whether what is assigned in quotes could be a password, brackets and all."""
    return len(text) >= 4 and not NO_LITERAL.match(text)


def typed(text: str) -> bool:
    """Whether a word in a sentence looks like a password: a digit or a sign inside, beside letters or enough others."""
    if len(text) < 5 or NO_VALUE.match(text):
        return False
    core = text.rstrip("!?")
    kinds = sum(bool(re.search(kind, text)) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    sign = bool(re.search(r"[^\w\s'’.-]", core)) or (len(core) < len(text) and kinds > 1)
    digit = any(char.isdigit() for char in text)
    upper_inside = bool(re.search(r"[a-z][A-Z]", text))
    return sign or digit or (upper_inside and kinds > 1)


def random(text: str) -> bool:
    """Whether letters and digits are mixed as chance does it: 3.2 bits a character or more, both kinds."""
    counts = [text.count(char) for char in set(text)]
    entropy = -sum(count / len(text) * log2(count / len(text)) for count in counts)
    return assigned(text) and entropy >= 3.2 and any(c.isdigit() for c in text) and any(c.isalpha() for c in text)


_NAME = r"(?:secret|token|api[ _-]?key|apikey|access[ _-]?key|private[ _-]?key|client[ _-]?secret|credentials?|auth[ _-]?key|signing[ _-]?key)"
_LOGIN = r"(?:pass(?:word|wd|phrase|code)|pwd|(?<![a-z])pw(?![a-z])|kennwort|passwort|mot de passe|contraseña|senha|wachtwoord)"
_QUOTE = "[\"'`]"

#: Formats as their issuers document them, most of them also in GitHub's list of secret-scanning patterns.
ISSUED: tuple[tuple[str, str, str], ...] = (
    # issuer, pattern, what has to be in the lower-case text
    ("OpenAI, Anthropic, OpenRouter, DeepSeek", r"\bsk-[A-Za-z0-9_-]{16,200}", "sk-"),
    ("Stripe", r"\b(?:[rs]k_(?:live|test)|whsec)_[A-Za-z0-9]{16,200}", "k_live|k_test|whsec_"),
    ("AWS access key id", r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b", "akia|asia|abia|acca"),
    ("GitHub", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255})", "ghp_|gho_|ghu_|ghs_|ghr_|github_pat_"),
    ("GitLab", r"\bgl(?:pat|rt|dt|cbt|ptt|soat)-[A-Za-z0-9_-]{20,200}", "glpat-|glrt-|gldt-|glcbt-|glptt-|glsoat-"),
    ("Slack", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,250}", "xox"),
    ("Slack webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,100}", "hooks.slack.com"),
    ("Google API", r"\bAIza[0-9A-Za-z_-]{30,60}", "aiza"),
    ("Google OAuth", r"\b(?:ya29\.[A-Za-z0-9_-]{20,500}|GOCSPX-[A-Za-z0-9_-]{20,60})", "ya29.|gocspx-"),
    ("Hugging Face", r"\bhf_[A-Za-z0-9]{30,60}", "hf_"),
    ("Groq, xAI, Replicate, Perplexity", r"\b(?:gsk_|xai-|r8_|pplx-)[A-Za-z0-9]{30,120}", "gsk_|xai-|r8_|pplx-"),
    ("SendGrid", r"\bSG\.[A-Za-z0-9_-]{16,40}\.[A-Za-z0-9_-]{16,60}", "sg."),
    ("Twilio, Mailgun", r"\b(?:SK[0-9a-f]{32}|key-[0-9a-f]{32})\b", "sk|key-"),
    ("npm, PyPI", r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,500})", "npm_|pypi-"),
    ("DigitalOcean, Databricks, Shopify", r"\b(?:do[opr]_v1_[0-9a-f]{64}|dapi[0-9a-f]{32}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32})",
     "_v1_|dapi|shpat_|shpca_|shppa_|shpss_"),
    ("Telegram bot", r"\b\d{8,10}:AA[A-Za-z0-9_-]{32,36}", ":aa"),
    ("Tollhouse", r"\bth_[A-Za-z0-9_-]{30,120}", "th_"),
    ("JSON Web Token, RFC 7519", r"\beyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,4000}(?:\.[A-Za-z0-9_-]{0,2000}){0,3}", "eyj"),
    ("private key, RFC 7468",
     r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:(?:\s|\\n|\\r){0,4}(?:[\w-]{1,20}: [^\n]{0,100}|[A-Za-z0-9+/=]{2,100})){0,300}"
     r"(?:(?:\s|\\n|\\r){0,4}-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?",
     "private key"),
)  # fmt: skip

RULES: tuple[Rule, ...] = (
    *(rule("SECRET", pattern, 1.0, needs=needs, reach=(40, 12_000), longest=3 if needs != "sk|key-" else 32) for _, pattern, needs in ISSUED),
    # RFC 6750 and RFC 7617: what stands behind the scheme's name in a header.
    rule("SECRET", r"(?i)\b(?:bearer|basic)\s{1,3}(?P<value>[A-Za-z0-9._~+/-]{16,4000}={0,2})", 0.9, needs="bearer|basic", reach=(0, 4_200), check=random),
    # RFC 3986, 3.2.1: the password of an URL's user; connection strings have the same form.
    rule("PASSWORD", r"(?<![\w+.-])[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"']{0,80}:(?P<value>[^\s@\"']{1,200})@", 1.0, needs="://", reach=(24, 320), check=quoted,
         shape=r"://[^\s:/@\"']{0,80}:[^\s@\"']{1,200}@"),
    rule("PASSWORD", rf"(?i){_LOGIN}s?{_QUOTE}?\s{{0,3}}(?::|=>|:=|==?)\s{{0,3}}{_QUOTE}(?P<value>[^\"'`\n]{{4,200}}){_QUOTE}", 0.95,
         needs="pass|pw|kennwort|mot de|contrase|senha|wachtwoord", check=quoted),
    rule("PASSWORD", rf"(?i){_LOGIN}s?\s{{0,3}}(?::|=>|:=|=)\s{{0,3}}(?P<value>[^\s\"'`,;&<>|]{{4,200}})", 0.9,
         needs="pass|pw|kennwort|mot de|contrase|senha|wachtwoord", check=assigned),
    rule("PASSWORD", rf"(?i)\b{_LOGIN}s?(?:\s{{1,9}}(?:for\s{{1,9}}\w{{1,20}}\s{{1,9}})?(?:is|was|to|of|as|used|set to|ist|est|es))?\s{{1,3}}(?:now\s)?"
         rf"{_QUOTE}(?P<value>[^\s\"'`]{{4,100}}){_QUOTE}", 0.9,
         needs="pass|pw|kennwort|mot de|contrase|senha|wachtwoord", check=quoted),
    rule("PASSWORD", rf"(?i)\b{_LOGIN}s?(?:\s{{1,9}}(?:for\s{{1,9}}\w{{1,20}}\s{{1,9}})?(?:is|was|to|of|as|set to|ist|est|es))?(?:\s{{1,9}}now)?\s{{1,3}}"
         r"(?P<value>[^\s\"'`,;()<>]{4,100})", 0.8,
         needs="pass|pw|kennwort|mot de|contrase|senha|wachtwoord", check=typed),
    rule("PASSWORD", r"(?i)\b(?:(?<!social )(?:security|one[- ]time|verification)\s(?:code|number|passcode|pin)|pin(?: code| number)?|cvv2?|cvc2?|otp)(?:\s{1,9}is)?\s{0,3}[:=#]?\s{0,3}"
         r"(?P<value>\d{3,8})(?![\w-])(?!\s{0,9}(?:minutes|hours|days|items|%))", 0.7, needs="pin|security c|security n|cvv|cvc|otp|time |verification", within=3),
    rule("SECRET", rf"(?i){_NAME}s?[\w-]{{0,20}}{_QUOTE}?\s{{0,3}}(?::|=>|:=|=)\s{{0,3}}{_QUOTE}(?P<value>[^\s\"'`]{{6,500}}){_QUOTE}", 0.9,
         needs="secret|token|key|credential", reach=(20, 620), check=assigned),
    rule("SECRET", rf"(?i){_NAME}s?[\w-]{{0,20}}\s{{0,3}}(?:(?::|=>|:=|=)\s{{0,3}}|\s(?:is|was)\s{{1,3}}|\s)(?P<value>[\w+/.~=-]{{12,500}})", 0.8,
         needs="secret|token|key|credential", reach=(20, 620), check=random),
)  # fmt: skip
