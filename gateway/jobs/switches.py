"""Jobs of kill switches: those whose time is over are marked as lifted, and rules set new ones."""

import logging

from gateway import switches
from gateway.triggers import fire

logger = logging.getLogger("tollhouse.worker")


def mark_lifted() -> None:
    """Marks switches whose time is over as lifted; calls have passed since that time."""
    if count := switches.lift_expired():
        logger.info("worker: %d switches lifted, as their time was over", count)


def fire_rules() -> None:
    """Looks at the switch rules, and does what those say whose bound is passed."""
    if count := fire.fire_all():
        logger.warning("worker: switch rules fired %d times", count)
