"""A digest in Slack: a message of figures and links, and with a bot a second one of the charts as images."""

from collections.abc import Iterator
from itertools import batched
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, ContextBlock, HeaderBlock, SectionBlock

from budgets.channels.render import plain
from budgets.channels.slack_files import File
from budgets.channels.slack_message import (
    BUTTON,
    FIELDS_OF_A_SECTION,
    HEADER,
    LABEL,
    MOST_BUTTONS,
    PIECE,
    SECTION,
    VALUE,
    as_is,
    escaped,
    marked,
)
from dashboards.digests.content import Content, Entry, Listing, Section
from dashboards.digests.pictures import draw

MOST_BLOCKS, LONGEST_URL = 50, 3000
#: Images of one message.
MOST_FILES = 10


def message(content: Content, note: str = "") -> dict[str, Any]:
    """`text` and `blocks`, within Slack's limits for any digest. `note` is said at its end."""
    blocks = list(_blocks(content))
    end = list(_end(content, note))
    if len(blocks) + len(end) > MOST_BLOCKS:
        blocks = blocks[: MOST_BLOCKS - len(end) - 1]
        blocks.append(ContextBlock(elements=[marked("There is more on the site: Slack takes no longer message.")]))
    tiles = content.sections[0].tiles if content.sections else ()
    told = f"{content.title}: {content.when}" + (f". {tiles[0].label}: {tiles[0].now}" if tiles else "")
    return {"text": escaped(told, SECTION), "blocks": [block.to_dict() for block in [*blocks, *end]]}


def files(content: Content) -> list[File]:
    """The charts as images. Raises CannotDraw."""
    figures = [figure for section in content.sections for figure in section.figures if figure.chart.series]
    return [
        File(
            name=f"chart-{number}.png",
            title=figure.heading,
            alt=figure.text,
            content=draw(figure.chart, heading=figure.heading),
        )
        for number, figure in enumerate(figures[:MOST_FILES], 1)
    ]


def comment(content: Content) -> str:
    """What stands above the images."""
    return escaped(f"Charts of {content.title}: {content.when}", SECTION)


def _blocks(content: Content) -> Iterator[Block]:
    yield HeaderBlock(text=as_is(plain(content.title), HEADER))
    yield ContextBlock(elements=[marked(escaped(line, PIECE)) for line in (content.when, *content.notes)])
    for section in content.sections:
        yield from _section(section)


def _section(section: Section) -> Iterator[Block]:
    yield SectionBlock(text=marked(f"*{escaped(section.title, LABEL)}*\n{escaped(section.about, VALUE)}"))
    if section.notes:
        yield ContextBlock(elements=[marked(escaped(" · ".join(section.notes), VALUE))])
    for tiles in batched(section.tiles, FIELDS_OF_A_SECTION):
        fields = [
            f"*{escaped(tile.label, LABEL)}*\n{escaped(f'{tile.now} {tile.change}', LABEL)}\n{escaped(tile.note, PIECE)}".strip()
            for tile in tiles
        ]
        yield SectionBlock(fields=[marked(field) for field in fields])
    for listing in section.listings:
        yield SectionBlock(text=marked(_listing(listing)))


def _listing(listing: Listing) -> str:
    lines = [_entry(entry) for entry in listing.entries] or [escaped(listing.empty, PIECE) or "None."]
    found = f"*{escaped(listing.heading, LABEL)}*"
    for line in lines:
        if len(found) + len(line) + 1 > SECTION:
            break
        found += f"\n{line}"
    return found


def _entry(entry: Entry) -> str:
    value = f": *{escaped(entry.value, LABEL)}*" if entry.value else ""
    return f"• {escaped(entry.text, PIECE)}{value}{f' – {escaped(entry.detail, PIECE)}' if entry.detail else ''}"


def _end(content: Content, note: str) -> Iterator[Block]:
    links = [(section.title, section.url) for section in content.sections]
    buttons = [
        ButtonElement(text=as_is(label, BUTTON), url=url, action_id=f"open-{number}")
        for number, (label, url) in enumerate([*links[: MOST_BUTTONS - 1], ("Change or stop it", content.url)])
        if url and len(url) <= LONGEST_URL
    ]
    if buttons:
        yield ActionsBlock(elements=buttons)
    if lines := [line for line in (*content.foot, note) if line]:
        yield ContextBlock(elements=[marked(escaped(line, PIECE)) for line in lines[:10]])
