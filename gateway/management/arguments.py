"""Types of arguments that several commands take."""

from argparse import ArgumentTypeError

from gateway.models import AuditEntry


def reason(text: str) -> str:
    """A reason that the audit log can keep. Raises ArgumentTypeError for a longer one."""
    return _kept(text, AuditEntry._meta.get_field("reason").max_length)


def actor(text: str) -> str:
    """A name that the audit log can keep. Raises ArgumentTypeError for a longer one."""
    return _kept(text, AuditEntry._meta.get_field("actor").max_length)


def _kept(text: str, most: int | None) -> str:
    if most is not None and len(text) > most:
        raise ArgumentTypeError(
            f"it has {len(text)} characters, and the audit log keeps at most {most}; shorten it. Nothing was done."
        )
    return text
