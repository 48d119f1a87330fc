"""Channels: how an alert reaches people. One module a kind; each takes a notice and answers with a receipt."""

from budgets.channels.apprise import Apprise
from budgets.channels.base import Channel, Notice, Receipt
from budgets.channels.email import Email
from budgets.channels.pagerduty import PagerDuty
from budgets.channels.sentry import Sentry
from budgets.channels.slack import Slack
from budgets.channels.webhook import Webhook

__all__ = ["KINDS", "Channel", "Notice", "Receipt", "channel"]

#: Kinds by the name that a channel's row has; the word beside it is for people.
KINDS = {
    "slack": "Slack",
    "pagerduty": "PagerDuty",
    "sentry": "Sentry",
    "webhook": "Signed webhook",
    "email": "Email",
    "apprise": "Apprise",
}


def channel(kind: str, *, allow_private: bool = False) -> Channel:
    """The channel of a kind. Raises KeyError for one that is not among `KINDS`.

    `allow_private` lets Apprise connect to private addresses, as it cannot take the session that decides about them for
    all others (see `budgets.channels.apprise`).
    """
    found: dict[str, Channel] = {
        "slack": Slack(),
        "pagerduty": PagerDuty(),
        "sentry": Sentry(),
        "webhook": Webhook(),
        "email": Email(),
        "apprise": Apprise(allow_private=allow_private),
    }
    return found[kind]
