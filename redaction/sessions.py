"""What sessions remember of their pseudonyms, encrypted, for a time. Read and written by `gateway/session_maps.py`."""

from django.db import models
from django.db.models.functions import Now


class SessionMap(models.Model):
    """The pseudonyms of one session. `key` is a keyed hash of whose session it is; `content` opens for that key only.

    A row counts as long as `expires_at` has not come; the database's clock says when.
    """

    key = models.BinaryField(primary_key=True)
    tenant = models.CharField(max_length=200, blank=True)
    user_ref = models.CharField(max_length=200, blank=True)
    content = models.TextField()
    version = models.BigIntegerField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "tollhouse_session_map"
        indexes = [
            models.Index(fields=["user_ref"], name="tollhouse_session_map_user", condition=~models.Q(user_ref="")),
        ]

    def __str__(self) -> str:
        return bytes(self.key).hex()[:16]


def forget_expired() -> int:
    """Deletes the maps whose time is over; says how many."""
    return SessionMap.objects.filter(expires_at__lte=Now()).delete()[0]


def forget_user(user_ref: str, *, tenant: str | None = None) -> int:
    """Deletes the maps of a user's sessions, of one tenant or of all; says how many."""
    rows = SessionMap.objects.filter(user_ref=user_ref)
    return (rows if tenant is None else rows.filter(tenant=tenant)).delete()[0]
