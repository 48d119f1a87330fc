"""Personal data that can be told by its form, its checksum or the words beside it. Needs nothing but `re`."""

from redaction.patterns.find import chosen, find

__all__ = ["chosen", "find"]
