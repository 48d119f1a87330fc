"""What ledger tests ask of the ledger: holds and settlements of small calls."""

from contextlib import asynccontextmanager
from copy import copy
from decimal import Decimal

from uuid_utils.compat import uuid7

from budgets.rules import Scope
from gateway.conf import settings
from gateway.ledger import Bid, Grant, Hold, Settle, Writer
from gateway.ledger.database import connection_parameters
from gateway.ledger.operations import BLANK


@asynccontextmanager
async def a_writer(proxy=None, **options):
    """A ledger writer on the test database, where there is a proxy, through it; `options` replace settings."""
    conf = copy(settings())
    for name, value in options.items():
        setattr(conf, name, value)
    writer = Writer(connection_parameters() | (proxy.parameters if proxy else {}), conf)
    try:
        yield writer
    finally:
        await writer.stop()


def row_of(call_id, **values):
    return {
        **BLANK, "id": call_id, "feature": "f", "tenant": "", "user_ref": "", "cohort": "", "session_id": "", "key": "",
        "source": "sdk", "labels": {}, "operation": "chat", "streamed": False, "trace_id": "", "span_id": "",
        "entities": {}, "trace": {}, **values,
    }  # fmt: skip


def bid_of(usd, *, tokens=10, provider="p", model="m"):
    return Bid(
        provider=provider, model=model, usd=None if usd is None else Decimal(usd), input_tokens=tokens, output_tokens=0
    )


def hold_of(usd, *, feature="f", tenant="", call_id=None, bids=None, tokens=10, **values):
    call_id = call_id or uuid7()
    return Hold(
        call_id=call_id, scope=Scope(feature, tenant, "", "", "", "", ""), bids=bids or (bid_of(usd, tokens=tokens),),
        draft=row_of(call_id, feature=feature, tenant=tenant), lifetime_s=60, **values,
    )  # fmt: skip


def settle_of(hold, grant, usd, *, tokens=10, **values):
    row = row_of(
        hold.call_id, feature=hold.scope.feature, cost_usd=Decimal(usd), input_tokens=tokens, attempts=1, **values
    )
    return Settle(call_id=hold.call_id, row=row, grant=grant if isinstance(grant, Grant) else None)
