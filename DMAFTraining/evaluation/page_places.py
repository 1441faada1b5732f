"""Where two results differ most: a picture and a list of places for each pair."""

from __future__ import annotations

from html import escape

from DMAFTraining.evaluation.content import Content
from DMAFTraining.evaluation.overlays import BOTH, ONLY_A, ONLY_B, draw_difference
from DMAFTraining.evaluation.page_html import Cell, Line, legend, number, picture_figure, table
from DMAFTraining.evaluation.pictures import background_picture, frame_at, row_of
from DMAFTraining.evaluation.slices import SliceView
from DMAFTraining.inference.case_comparison import Pair
from DMAFTraining.inference.comparison import region_mask
from DMAFTraining.inference.differences import Difference
from DMAFTraining.inference.metadata import Region

_LONG_SIDE = 300
_SIDES = ("RL", "AP", "SI")


def places_body(content: Content) -> str:
    """Every pair of the comparison."""
    return "".join(_pair(content, pair) for pair in content.pairs)


def ras_words(position: tuple[float, float, float]) -> str:
    """A position in mm as a reader of images says it: ``12.0 L, 4.5 A, 30.0 S``."""
    return ", ".join(f"{abs(x):.1f} {sides[x < 0]}" for x, sides in zip(position, _SIDES, strict=True))


def _pair(content: Content, pair: Pair) -> str:
    title = f"<h3>A: {escape(str(pair.a))}, B: {escape(str(pair.b))}</h3>\n"
    regions = [region for region in content.comparison.regions if pair.places[region.name]]
    if not regions:
        return f"{title}<p>Both are the same.</p>\n"
    figures = "".join(_figure(content, pair, region, pair.places[region.name][0]) for region in regions)
    entries = ((f"only A, {pair.a}", ONLY_A), (f"only B, {pair.b}", ONLY_B), ("line around what both show", BOTH))
    lines = [_line(region, place, pair) for region in regions for place in pair.places[region.name]]
    heads = [("Place", ("Only in", "Volume (mL)", "Center (mm)"))]
    listed = table(f"Places where {pair.a} and {pair.b} differ", "Region", heads, lines)
    colors = legend(entries, f"Colors of {pair.a} and {pair.b}")
    return f'{title}{colors}<div class="grid small">\n{figures}</div>\n{listed}'


def _line(region: Region, place: Difference, pair: Pair) -> Line:
    only = f"A, {pair.a}" if place.kind == "only_a" else f"B, {pair.b}"
    return Line(region.title, [Cell(only), number(place.volume_ml, ".2f"), Cell(ras_words(place.center_ras_mm))])


def _figure(content: Content, pair: Pair, region: Region, place: Difference) -> str:
    view = SliceView.of(content.grid)
    frame = frame_at(content, view, view.level_at(place.center_ras_mm[view.across]), _LONG_SIDE)
    gray = background_picture(content, frame, pair.a)
    a, b = (region_mask(row_of(content, subset).labels, region) for subset in (pair.a, pair.b))
    drawn = draw_difference(gray, a, b, frame)
    words = f"axial, z = {view.slice_positions[frame.level]:+.0f} mm"
    caption = f"<h4>{escape(region.title)}</h4><p>{words}</p>"
    alt = f"Difference of {pair.a} and {pair.b} in {region.title.lower()}, {words}"
    return picture_figure(drawn, alt, caption, view.sides)
