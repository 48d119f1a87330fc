"""A digest as an email: a text part, and an HTML part with the charts in it as images, for light and for dark mail programs."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from budgets.channels.render import clip, plain
from dashboards.digests.content import Content, Entry, Figure, Section
from dashboards.digests.pictures import DARK, LIGHT, CannotDraw, draw

SUBJECT_CHARACTERS = 200
#: Pixels of a chart on a wide screen; on a narrow one it is as wide as that.
SHOWN_WIDTH = 640


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A chart in the HTML: the names of its images for light and dark, empty where there is nothing to draw."""

    heading: str
    text: str
    light: str = ""
    dark: str = ""


class Letter(EmailMultiAlternatives):
    """A message whose images belong to its HTML part: programs show them in their places, not as attachments."""

    def __init__(self, *args: Any, images: Mapping[str, bytes], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.images = images

    def message(self, **options: Any) -> Any:
        found = super().message(**options)
        html = found.get_body(("html",))
        assert html is not None
        for name, png in self.images.items():
            html.add_related(png, "image", "png", cid=f"<{name}>", filename=f"{name}.png", disposition="inline")
        return found


def compose(content: Content, to: Sequence[str], key: str) -> tuple[Letter, str]:
    """The message, and what is to be told to who set it up; empty: nothing. Its id is the same for the same `key`."""
    images, problem = {}, ""
    try:
        images = dict(_images(content))
    except CannotDraw as error:
        problem = str(error)
    sender = settings.DEFAULT_FROM_EMAIL
    subject = clip(plain(f"{content.title}: {content.when}"), SUBJECT_CHARACTERS)
    headers = {"Message-ID": _message_id(key, sender), "Auto-Submitted": "auto-generated"}
    letter = Letter(subject, text(content, problem), sender, list(to), headers=headers, images=images)
    letter.attach_alternative(html(content, images, problem), "text/html")
    return letter, problem


def html(content: Content, images: Mapping[str, bytes], problem: str = "") -> str:
    """The HTML part; the template escapes all that is put into it."""
    sections = [
        (section, [_shown(figure, f"chart-{at}-{number}", images) for number, figure in enumerate(section.figures)])
        for at, section in enumerate(content.sections)
    ]
    notes = [*content.notes, *filter(None, [problem])]
    context = {"content": content, "sections": sections, "notes": notes, "width": SHOWN_WIDTH}
    return render_to_string("tollhouse/digests/email.html", context)


def text(content: Content, problem: str = "") -> str:
    """All of it in lines of plain text, the charts in words."""
    lines = [plain(content.title), content.when, *content.notes, *filter(None, [problem])]
    for section in content.sections:
        lines += ["", "", *_lines(section)]
    lines += ["", "", *content.foot]
    lines += [f"Change or stop it: {content.url}"] if content.url else []
    return "\n".join(lines) + "\n"


def _lines(section: Section) -> Iterator[str]:
    yield (title := plain(section.title))
    yield "=" * len(title)
    yield plain(section.about)
    yield from map(plain, section.notes)
    if section.tiles:
        yield ""
    for tile in section.tiles:
        more = "; ".join(filter(None, [tile.change, tile.note]))
        yield f"{tile.label}: {tile.now}" + (f" ({more})" if more else "")
    for listing in section.listings:
        yield ""
        yield f"{listing.heading}:"
        yield from ([_line(entry) for entry in listing.entries] or [f"- {listing.empty}"])
    if section.figures:
        yield ""
        yield from (plain(figure.text) for figure in section.figures)
    if section.url:
        yield ""
        yield f"On the site: {section.url}"


def _line(entry: Entry) -> str:
    value = f": {entry.value}" if entry.value else ""
    return plain(f"- {entry.text}{value}{f' ({entry.detail})' if entry.detail else ''}")


def _images(content: Content) -> Iterator[tuple[str, bytes]]:
    for at, section in enumerate(content.sections):
        for number, figure in enumerate(section.figures):
            if figure.chart.series:
                yield f"chart-{at}-{number}", draw(figure.chart, LIGHT)
                yield f"chart-{at}-{number}-dark", draw(figure.chart, DARK)


def _shown(figure: Figure, name: str, images: Mapping[str, bytes]) -> Shown:
    drawn = {"light": name, "dark": f"{name}-dark"} if name in images else {}
    return Shown(heading=figure.heading, text=plain(figure.text), **drawn)


def _message_id(key: str, sender: str) -> str:
    # Part of the secret key's hash tells the digests of two gates apart that send as the same address.
    mark = hashlib.sha256(f"{settings.SECRET_KEY} {key}".encode()).hexdigest()[:12]
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    return f"<tollhouse-{key}-{mark}@{domain}>"
