"""Whom a feature is on for: its phase, and who belongs to it before it is there for everybody."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """`internal`: the named tenants and cohorts. `beta`: those, and `percent` of everybody else. `general`: everybody."""

    phase: str = "general"
    tenants: frozenset[str] = frozenset()
    cohorts: frozenset[str] = frozenset()
    percent: int = 0

    def includes(self, feature: str, *, tenant: str, cohort: str, unit: str) -> bool:
        """Whether a caller is in. The share of a beta goes by a stable hash of feature and `unit` (a tenant, user or
        session; empty: nobody known, who is out), so that who is in stays in as the share grows.
        """
        if self.phase == "general" or tenant in self.tenants or cohort in self.cohorts:
            return True
        if self.phase != "beta" or not unit:
            return False
        hashed = hashlib.blake2b(f"rollout\0{feature}\0{unit}".encode(), digest_size=8).digest()
        return int.from_bytes(hashed) * 100 >> 64 < self.percent
