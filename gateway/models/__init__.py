"""What the rows are; what happens to them stands in the verb modules."""

from gateway.models.access import Role, TenantLimit
from gateway.models.audit import AuditEntry, AuditHead, AuditLink
from gateway.models.bills import Bill, BillLine
from gateway.models.breakers import BreakerTrip
from gateway.models.cache import CachedReply
from gateway.models.calls import Adjustment, Call, Hold, Owner, Payload, Worker
from gateway.models.catalog import Feature, Key, KeyUse, Provider, Revision, Route, Target
from gateway.models.datasets import Dataset, DatasetItem
from gateway.models.exports import Export, ExportPart
from gateway.models.meters import Meter
from gateway.models.prices import Price
from gateway.models.prompts import Deployment, Prompt, PromptVersion, Variant
from gateway.models.retention import CallSum, LegalHold, RetentionKind, RetentionRule
from gateway.models.scores import Score
from gateway.models.steps import Step

__all__ = [
    "Adjustment",
    "AuditEntry",
    "AuditHead",
    "AuditLink",
    "Bill",
    "BillLine",
    "BreakerTrip",
    "CachedReply",
    "Call",
    "CallSum",
    "Dataset",
    "DatasetItem",
    "Deployment",
    "Export",
    "ExportPart",
    "Feature",
    "Hold",
    "Key",
    "KeyUse",
    "LegalHold",
    "Meter",
    "Owner",
    "Payload",
    "Price",
    "Prompt",
    "PromptVersion",
    "Provider",
    "RetentionKind",
    "RetentionRule",
    "Revision",
    "Role",
    "Route",
    "Score",
    "Step",
    "Target",
    "TenantLimit",
    "Variant",
    "Worker",
]
