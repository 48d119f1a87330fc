"""What can go wrong at the gate.

    GatewayError
    ├── InvalidRequest        the request cannot be understood; mend it
    │   └── PromptError       variables missing or unused, or a template that does not render
    ├── NotFound              no such feature, route, model or call
    ├── AccessDenied          the key is unknown (`Unauthenticated`) or may not use the feature
    │   └── Unauthenticated
    ├── BudgetExceeded        the call does not fit a budget's window
    ├── FeatureDisabled       a kill switch is in force
    │   └── CallCut           it was set while the call ran, and cut it off
    ├── RateLimited           too many calls; try again later
    ├── PolicyRefused         personal data, or a model without a price, that the policy does not let pass
    ├── ProviderError         the provider refused or failed
    │   └── ProviderTimeout   the provider did not answer in time
    └── LedgerUnavailable     the database is away: no governance, no call

Every error carries the `call_id` of its row (None where no row was written) and a message that a person
can act on. No module but `gateway.http` knows a status code of ours.
"""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from budgets.rates import Rates

#: Characters of a message: what a caller sent may be quoted in it, and is as long as the caller likes.
MOST_CHARACTERS = 2000


class GatewayError(Exception):
    """Anything that the gate refuses or fails to do."""

    outcome: ClassVar[str] = ""
    code: ClassVar[str] = "gateway_error"

    def __init__(self, message: str, *, call_id: UUID | None = None, param: str | None = None) -> None:
        if len(message) > MOST_CHARACTERS:
            message = f"{message[:MOST_CHARACTERS]}…"
        super().__init__(message)
        self.message = message
        self.call_id = call_id
        self.param = param and param[:100]


class InvalidRequest(GatewayError):
    """The request cannot be understood as it is; the message names the field. No row is written."""

    code = "invalid_request"


class PromptError(InvalidRequest):
    """The prompt could not be rendered: a variable is missing or unused, or the template is too slow or too large."""

    code = "prompt_error"


class NotFound(GatewayError):
    """There is no such feature, route or model (the message names those that exist), or no such call. No row is written."""

    code = "not_found"


class AccessDenied(GatewayError):
    """The key may not use this feature or speak for this tenant. No row is written."""

    code = "access_denied"


class Unauthenticated(AccessDenied):
    """There is no key, or nobody knows it, or it has expired. No row is written."""

    code = "invalid_api_key"


class BudgetExceeded(GatewayError):
    """The most this call can cost does not fit a budget's window; wait for the next one or raise the limit.

    `resets_at` is when the window ends; None where nobody knows.
    """

    outcome = "refused_budget"
    code = "budget_exceeded"

    def __init__(
        self, message: str, *, call_id: UUID | None = None, param: str | None = None, resets_at: datetime | None = None
    ) -> None:
        super().__init__(message, call_id=call_id, param=param)
        self.resets_at = resets_at


class FeatureDisabled(GatewayError):
    """A kill switch is in force; the message holds the reason that a person typed. `retry_after_s` is when it lifts by
    itself, in seconds from the refusal (None: when somebody lifts it).
    """

    outcome = "refused_switch"
    code = "feature_disabled"

    def __init__(self, message: str, *, retry_after_s: float | None = None, call_id: UUID | None = None) -> None:
        super().__init__(message, call_id=call_id)
        self.retry_after_s = retry_after_s


class CallCut(FeatureDisabled):
    """A kill switch was set while the call ran, and cuts such calls off; what it used until then is in its row."""

    outcome = "cancelled"
    code = "call_cut"


class RateLimited(GatewayError):
    """Too much at once for a rate limit; try again after `retry_after_s` seconds (None: it can never pass)."""

    outcome = "refused_rate"
    code = "rate_limit_exceeded"

    def __init__(
        self, message: str, *, retry_after_s: float | None, call_id: UUID | None = None, rates: Rates | None = None
    ) -> None:
        super().__init__(message, call_id=call_id)
        self.retry_after_s = retry_after_s
        self.rates = rates


class PolicyRefused(GatewayError):
    """The feature's policy does not let the call pass: personal data that it refuses, or a model without a price."""

    outcome = "refused_policy"
    code = "policy_refused"


class ProviderError(GatewayError):
    """The provider refused or failed. `transient` says whether the same call may succeed later.

    `status` is the provider's HTTP status (None when it gave none), `body` its parsed error body (may be None),
    `billable` says whether the provider may charge for the attempt all the same.
    """

    outcome = "provider_error"
    code = "provider_error"

    def __init__(
        self,
        message: str,
        *,
        transient: bool,
        billable: bool,
        status: int | None = None,
        body: object = None,
        retry_after_s: float | None = None,
        call_id: UUID | None = None,
    ) -> None:
        super().__init__(message, call_id=call_id)
        self.transient = transient
        self.billable = billable
        self.status = status
        self.body = body
        self.retry_after_s = retry_after_s


class ProviderTimeout(ProviderError):
    """The provider did not connect, begin or finish in the route's time."""

    outcome = "timeout"
    code = "provider_timeout"


class LedgerUnavailable(GatewayError):
    """The ledger's database did not answer; the call was refused, or its reply withheld, so that none goes unrecorded."""

    outcome = "ledger_unavailable"
    code = "ledger_unavailable"
