"""Values of dimensions as people know them."""

from collections.abc import Iterable

from gateway.models import PromptVersion

WITHOUT = {
    "feature": "no feature", "tenant": "no tenant", "cohort": "no cohort", "user_ref": "no user", "key": "no API key",
    "provider": "no provider", "model": "no model", "prompt_version": "no prompt version", "outcome": "no outcome",
    "error_class": "no error class",
}  # fmt: skip


def shown(dimension: str, value: str) -> str:
    """A value, cut short where it is a reference or an address, or what it means to have none."""
    if not value:
        return WITHOUT.get(dimension, "none")
    if dimension == "prompt_version":
        return value[:8]
    return f"{value[:12]}…" if dimension == "user_ref" and len(value) > 16 else value


def of_versions(addresses: Iterable[str | None]) -> dict[str, str]:
    """Names of prompt versions with their feature, e.g. `support.reply@3f2a9c41`, by address."""
    found = PromptVersion.objects.filter(address__in=[address for address in addresses if address])
    names = found.values_list("address", "prompt__feature__slug")
    return {address: f"{slug}@{address[:8]}" for address, slug in names}
