"""Where the gate may connect to: the SSRF guard."""

from urllib.parse import urlsplit

from budgets.addresses import is_public


def check_url(url: str, *, allow_private: bool) -> None:
    """Refuses a base URL that the gate must not call. Raises ValueError, saying what to write instead.

    Names are checked again when they are resolved, at each connection (see `gateway.providers.connect`).
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address of a provider; write one like https://api.openai.com/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a base_url holds neither credentials nor a query; the key goes into api_key_env")
    if allow_private:
        return
    try:
        public = is_public(parts.hostname)
    except ValueError:
        public = parts.hostname != "localhost" and not parts.hostname.endswith((".localhost", ".local", ".internal"))
    if not public:
        raise ValueError(
            f"{parts.hostname} is not a public address; set TOLLHOUSE_ALLOW_PRIVATE_UPSTREAMS=true to allow servers of one's own"
        )
