"""A notice as a Slack message: blocks of Block Kit, within Slack's limits for any notice.

Text of others stands in plain text or is escaped, so that it can neither link nor mention (`<!channel>`).
"""

from collections.abc import Iterator
from itertools import batched

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

from budgets.channels import render
from budgets.channels.base import Json, Notice

HEADER, SECTION, LABEL, VALUE, PIECE, BUTTON = 150, 3000, 200, 1500, 500, 75
FIELDS_OF_A_SECTION, MOST_BUTTONS = 10, 5


def message(notice: Notice) -> dict[str, Json]:
    """`text`, for notifications and for clients that show no blocks, and `blocks`. The SDK's models check the limits."""
    told = f"{render.title(notice)}: {render.summary(notice)}"
    return {"text": escaped(told, SECTION), "blocks": [block.to_dict() for block in _blocks(notice)]}


def reply(notice: Notice) -> dict[str, Json]:
    """What is said below an alert's first message, which tells the rest: where the alert stands now, and why."""
    told = f"{render.title(notice)}. {render.resolution(notice)}".strip()
    return {"text": escaped(told, SECTION), "blocks": [SectionBlock(text=as_is(told, SECTION)).to_dict()]}


def _blocks(notice: Notice) -> Iterator[Block]:
    yield HeaderBlock(text=as_is(render.title(notice), HEADER))
    yield SectionBlock(text=as_is(render.summary(notice), SECTION))
    if resolution := render.resolution(notice):
        yield SectionBlock(text=marked(f"*Resolved*\n{escaped(resolution, SECTION - 100)}"))
    if notice.bar:
        yield SectionBlock(text=marked(f"`{render.cells(notice.bar)}` *{render.share(notice.bar)}%* of the limit"))
    for facts in batched(render.facts(notice), FIELDS_OF_A_SECTION):
        yield SectionBlock(
            fields=[marked(f"*{escaped(label, LABEL)}*\n{escaped(value, VALUE)}") for label, value in facts]
        )
    yield ContextBlock(
        elements=[marked(" · ".join([*(escaped(o, PIECE) for o in render.origin(notice)), _when(notice)]))]
    )
    if buttons := list(_buttons(notice)):
        yield ActionsBlock(elements=buttons)


def _buttons(notice: Notice) -> Iterator[ButtonElement]:
    for number, (label, url) in enumerate(render.links(notice)[:MOST_BUTTONS]):
        yield ButtonElement(text=as_is(label, BUTTON), url=url, action_id=f"open-{number}")


def _when(notice: Notice) -> str:
    # Slack shows it in the reader's own time zone; what stands behind the bar is for clients that cannot.
    return f"<!date^{notice.at.timestamp():.0f}^{{date_short_pretty}} {{time}}|{render.moment(notice)}>"


def as_is(text: str, most: int) -> PlainTextObject:
    """Text that is shown as it is, cut to so many characters."""
    return PlainTextObject(text=render.clip(text, most), emoji=False)


def marked(text: str) -> MarkdownTextObject:
    """Text in Slack's markup, in which nothing else becomes a link."""
    return MarkdownTextObject(text=text, verbatim=True)


def escaped(text: str, most: int) -> str:
    """Text of others for Slack's markup, cut so that no sign is cut in two when it is escaped."""
    return _escape(render.clip(render.plain(text), most, measure=lambda piece: render.units(_escape(piece))))


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
