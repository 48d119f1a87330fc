"""The gate's public names. Everything else in this package may change without notice."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.calling import context
    from gateway.edits import edit_share
    from gateway.facade import (
        AsyncReplyStream,
        Delta,
        Embeddings,
        Reply,
        ReplyStream,
        acomplete,
        aembed,
        aenabled,
        astream,
        complete,
        disclosure,
        embed,
        enabled,
        stream,
    )
    from gateway.retention.kinds import KeptTable, hide_expired, keep
    from gateway.scores import Score, ascore, score
    from gateway.steps import Step, step
    from gateway.wrapped import wrap

__all__ = [
    "AsyncReplyStream",
    "Delta",
    "Embeddings",
    "KeptTable",
    "Reply",
    "ReplyStream",
    "Score",
    "Step",
    "acomplete",
    "aembed",
    "aenabled",
    "ascore",
    "astream",
    "complete",
    "context",
    "disclosure",
    "edit_share",
    "embed",
    "enabled",
    "hide_expired",
    "keep",
    "score",
    "step",
    "stream",
    "wrap",
]
#: Names that are not the façade's own, and where they are.
_ELSEWHERE = {
    "KeptTable": "gateway.retention.kinds",
    "Score": "gateway.scores",
    "Step": "gateway.steps",
    "ascore": "gateway.scores",
    "context": "gateway.calling",
    "edit_share": "gateway.edits",
    "hide_expired": "gateway.retention.kinds",
    "keep": "gateway.retention.kinds",
    "score": "gateway.scores",
    "step": "gateway.steps",
    "wrap": "gateway.wrapped",
}


def __getattr__(name: str) -> Any:
    # Django imports this package before its models can be; the façades need them, so they are imported at first use.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "gateway.facade")), name)
