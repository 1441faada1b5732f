"""The comparison report of one patient: a page to open, a figure to show, pages to print."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from DMAFTraining.data.files import write_atomically
from DMAFTraining.evaluation.content import Content
from DMAFTraining.evaluation.figure import comparison_sheet, write_figure
from DMAFTraining.evaluation.page import comparison_page
from DMAFTraining.evaluation.pictures import draw_pictures
from DMAFTraining.evaluation.plots.attribution import draw_attribution

PAGE = "comparison.html"
FIGURE = "comparison.png"
_DPI = 160


def write_report(content: Content, folder: Path) -> Path:
    """Write ``comparison.html`` (needs no other file) and ``comparison.png``; returns the page.

    Args:
        content: from :func:`~DMAFTraining.evaluation.content.load_content`.
        folder: where to write; must exist.
    """
    pictures = draw_pictures(content)
    write_atomically(folder / PAGE, comparison_page(content, pictures).encode())
    write_figure(content, pictures, folder / FIGURE)
    return folder / PAGE


def write_page(content: Content, path: Path) -> None:
    """Write the page alone, whole or not at all."""
    write_atomically(path, comparison_page(content, draw_pictures(content)).encode())


def write_pdf(content: Content, path: Path) -> None:
    """Write the figures as PDF: all combinations on one slice, and what each sequence contributes."""
    sheet, height = comparison_sheet(content, draw_pictures(content))
    page = Figure(figsize=(sheet.width / _DPI, height / _DPI), dpi=_DPI)
    page.figimage(sheet.pixels(height), resize=True)
    stream = io.BytesIO()
    with PdfPages(stream, metadata={"Title": "Comparison of sequences. Research use only."}) as pages:
        pages.savefig(page, dpi=_DPI)
        pages.savefig(draw_attribution(content.comparison))
    write_atomically(path, stream.getvalue())
