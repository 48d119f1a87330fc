"""A report as PDF, A4, the same bytes for the same report."""

import re
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, Spacer, TableStyle
from reportlab.platypus import Table as Grid

from gateway.compliance.sections import Section, Table

MARGIN = 18 * mm
WIDTH = A4[0] - 2 * MARGIN
INK, QUIET, LINE, SHADE = HexColor("#1d2733"), HexColor("#586675"), HexColor("#d0d8e1"), HexColor("#f0f3f7")
#: Fonts that come with reportlab.
FONT, BOLD = "Vera", "VeraBd"
TEXT = ParagraphStyle("text", fontName=FONT, fontSize=8.5, leading=12.5, textColor=INK, spaceAfter=5)
CELL = ParagraphStyle("cell", fontName=FONT, fontSize=7.2, leading=10, textColor=INK)
HEAD = ParagraphStyle("head", parent=CELL, fontName=BOLD, textColor=QUIET)
TITLE = ParagraphStyle("title", fontName=BOLD, fontSize=17, leading=22, textColor=INK, spaceAfter=8)
SECTION = ParagraphStyle(
    "section", fontName=BOLD, fontSize=11.5, leading=15, textColor=INK, spaceBefore=13, spaceAfter=5, keepWithNext=1
)
LABEL = ParagraphStyle(
    "label", fontName=BOLD, fontSize=8.5, leading=12, textColor=INK, spaceBefore=7, spaceAfter=3, keepWithNext=1
)
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def pdf(sections: Iterable[Section]) -> bytes:
    """The report as a file. Letters that the font has not stand as their code point, e.g. [U+4E2D]."""
    made, out = list(sections), BytesIO()
    document = BaseDocTemplate(
        out, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN, invariant=1,
        title=made[0].title, author="Tollhouse", lang="en",
    )  # fmt: skip
    frame = Frame(
        MARGIN, MARGIN, WIDTH, A4[1] - 2 * MARGIN, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0
    )
    document.addPageTemplates([PageTemplate(frames=[frame], onPage=_foot)])
    document.build([part for number, section in enumerate(made) for part in _section(section, first=not number)])
    return out.getvalue()


def _section(section: Section, *, first: bool) -> Iterable[Flowable]:
    yield _paragraph(section.title, TITLE if first else SECTION)
    for text in section.texts:
        yield _paragraph(text, TEXT)
    for table in section.tables:
        if table.title:
            yield _paragraph(table.title, LABEL)
        yield _grid(table)
        yield Spacer(0, 5)


def _grid(table: Table) -> Grid:
    rows: list[list[Paragraph | str]] = [] if table.plain else [[_paragraph(cell, HEAD) for cell in table.head]]
    heads = len(rows)
    rows += [[_paragraph(cell, CELL) for cell in row] for row in table.rows]
    if not table.rows:
        rows.append([_paragraph("none", CELL), *([""] * (len(table.head) - 1))])
    style: list[Any] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE), ("LEFTPADDING", (0, 0), (-1, -1), 4),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4), ("TOPPADDING", (0, 0), (-1, -1), 3), ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
        *([("BACKGROUND", (0, 0), (-1, 0), SHADE)] if heads else []),
    ]  # fmt: skip
    whole = sum(table.widths)
    # A row that is longer than a page goes on in the next one.
    return Grid(
        rows, colWidths=[WIDTH * width / whole for width in table.widths], repeatRows=heads, style=TableStyle(style), splitInRow=1
    )  # fmt: skip


def _paragraph(text: str, style: ParagraphStyle) -> Paragraph:
    known = _fonts()[style.fontName].face.charToGlyph
    shown = "".join(c if ord(c) in known or c == "\n" else f"[U+{ord(c):04X}]" for c in CONTROL.sub(" ", text))
    return Paragraph(escape(shown).replace("\n", "<br/>"), style)


def _foot(canvas: Canvas, document: BaseDocTemplate) -> None:
    canvas.setFont(FONT, 7)
    canvas.setFillColor(QUIET)
    canvas.drawRightString(A4[0] - MARGIN, 10 * mm, f"Page {document.page}")


@cache
def _fonts() -> dict[str, TTFont]:
    found = {name: TTFont(name, f"{name}.ttf") for name in (FONT, BOLD)}
    for font in found.values():
        pdfmetrics.registerFont(font)
    return found
