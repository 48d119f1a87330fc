"""Which addresses are on the public internet: what every guard against requests to one's own network asks (SSRF)."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

#: Where a translator puts IPv4 addresses into IPv6 (RFC 6052, "Well-Known Prefix").
NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet: not loopback, private, link-local, multicast or reserved.

    An IPv6 address that stands for an IPv4 one (mapped, 6to4, NAT64) is as public as that. Raises ValueError for what is no
    address.
    """
    ip = ip_address(address.split("%")[0])
    meant = _carried(ip) if isinstance(ip, IPv6Address) else ip
    return ip.is_global and not ip.is_multicast if meant is None else meant.is_global and not meant.is_multicast


def _carried(ip: IPv6Address) -> IPv4Address | None:
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
