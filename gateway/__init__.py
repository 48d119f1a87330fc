"""The gate's public names. Everything else in this package may change without notice."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.facade import Delta, Embeddings, Reply, acomplete, aembed, astream, complete, embed, stream

__all__ = [
    "Delta",
    "Embeddings",
    "Reply",
    "acomplete",
    "aembed",
    "astream",
    "complete",
    "embed",
    "stream",
]


def __getattr__(name: str) -> Any:
    # Django imports this package before its models can be; the façades need them, so they are imported at first use.
    if name in __all__:
        return getattr(import_module("gateway.facade"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
