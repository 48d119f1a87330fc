"""What the rows are; what happens to them stands in the verb modules."""

from gateway.models.audit import AuditEntry
from gateway.models.bills import Bill, BillLine
from gateway.models.cache import CachedReply
from gateway.models.calls import Adjustment, Call, Hold, Owner, Payload, Worker
from gateway.models.catalog import Feature, Key, KeyUse, Provider, Revision, Route, Target
from gateway.models.datasets import Dataset, DatasetItem
from gateway.models.prices import Price
from gateway.models.prompts import Deployment, Prompt, PromptVersion, Variant

__all__ = [
    "Adjustment",
    "AuditEntry",
    "Bill",
    "BillLine",
    "CachedReply",
    "Call",
    "Dataset",
    "DatasetItem",
    "Deployment",
    "Feature",
    "Hold",
    "Key",
    "KeyUse",
    "Owner",
    "Payload",
    "Price",
    "Prompt",
    "PromptVersion",
    "Provider",
    "Revision",
    "Route",
    "Target",
    "Variant",
    "Worker",
]
