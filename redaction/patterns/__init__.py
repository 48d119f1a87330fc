"""Personal data that can be told by its form, its checksum or the words beside it. Needs nothing but `re`."""

from redaction.patterns.find import find

__all__ = ["find"]
