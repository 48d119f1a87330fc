"""Job of sessions: pseudonyms whose time is over are deleted."""

import logging

from redaction.sessions import forget_expired

logger = logging.getLogger("tollhouse.worker")


def forget_sessions() -> None:
    """Deletes what sessions remember that are over; calls have not seen it since."""
    if count := forget_expired():
        logger.info("worker: pseudonyms of %d sessions deleted, as their time was over", count)
