"""Jobs of retention and of the audit log's chain."""

import logging

from gateway import audit_chain
from gateway.retention import remove

logger = logging.getLogger("tollhouse.audit")


def remove_expired() -> None:
    """Removes rows that have expired."""
    remove.remove()


def note_head() -> None:
    """Logs the end of the audit log's chain: logs are kept elsewhere, so it can be compared with them (`audit verify --head`)."""
    logger.info("audit: head %s", audit_chain.current())
