"""Replies that may be given again."""

from django.db import models


class CachedReply(models.Model):
    """A reply under the keyed hash of its request; encrypted. `gateway.cache.stores` reads and writes it."""

    key = models.BinaryField(primary_key=True, max_length=32)
    value = models.TextField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "tollhouse_cached_reply"

    def __str__(self) -> str:
        return bytes(self.key).hex()[:8]
