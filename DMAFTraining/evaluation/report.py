"""The comparison report of one patient: a page to open and a figure to show."""

from __future__ import annotations

from pathlib import Path

from DMAFTraining.evaluation.content import Content, draw_pictures
from DMAFTraining.evaluation.figure import write_figure
from DMAFTraining.evaluation.page import comparison_page

PAGE = "comparison.html"
FIGURE = "comparison.png"


def write_report(content: Content, folder: Path) -> Path:
    """Write ``comparison.html`` (needs no other file) and ``comparison.png``; returns the page.

    Args:
        content: from :func:`~DMAFTraining.evaluation.content.load_content`.
        folder: where to write; must exist.
    """
    pictures = draw_pictures(content)
    page = folder / PAGE
    page.write_text(comparison_page(content, pictures), encoding="utf-8")
    write_figure(content, pictures, folder / FIGURE)
    return page
