"""The maps of a comparison page: where combinations agree, where the model is undecided, what the fusion weighs."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.evaluation.content import Content
from DMAFTraining.evaluation.overlays import color_counts, color_values, draw_outline, scale_picture
from DMAFTraining.evaluation.page_html import Cell, Line, number, paragraph, picture_figure, scale, table
from DMAFTraining.evaluation.pictures import Pictures, row_of
from DMAFTraining.inference.comparison import region_mask
from DMAFTraining.inference.metadata import Region

_WHITE = (255, 255, 255)
_AGREEMENT = (
    "Each voxel shows how many of the combinations find the region there. Bright: nearly all do, so it hardly matters "
    "which sequences there are. Dark: only a few do. That all agree does not make it right."
)
_ENTROPY = (
    "How undecided the model is at each voxel: 0 where all probability is on one label, 1 where every label is equally "
    "probable. It measures doubt, not errors: a model can be sure and wrong."
)
_CONTRIBUTION = (
    "Share of each sequence in what the network mixes at its finest level, at each voxel; together they are 1. Read it "
    "as what was mixed, not as the cause of the result: weights are not causes. What a sequence changes is told by the "
    "results without it. The shares change slowly from place to place, as the network makes only a few along each axis "
    "of a window; stripes and patches of centimeters are no anatomy."
)


def agreement_body(content: Content, pictures: Pictures) -> str:
    """Pictures of the counts and the volume of each count; nothing if there is one result only."""
    if len(content.rows) < 2:
        return ""
    most = len(content.rows)
    figures = "".join(_agreement_figure(content, pictures, region) for region in content.comparison.regions)
    strip = scale_picture()
    return (
        paragraph(_AGREEMENT)
        + f'<div class="grid">\n{figures}</div>\n'
        + scale(strip, "1 combination", f"all {most}", "the number of combinations")
        + _agreement_table(content)
    )


def _agreement_figure(content: Content, pictures: Pictures, region: Region) -> str:
    counts = content.labels.agreement(region)
    drawn = color_counts(pictures.behind(content, content.available), counts, pictures.frame, len(content.rows))
    every, once = content.comparison.agreement_ml[region.name][-1], sum(content.comparison.agreement_ml[region.name])
    words = f"{every:.1f} mL found by all, {once:.1f} mL by at least one"
    caption = f"<h3>{escape(region.title)}</h3><p>{words}</p>"
    return picture_figure(drawn, f"Agreement on {region.title.lower()}: {words}", caption, pictures.frame.view.sides)


def _agreement_table(content: Content) -> str:
    regions = content.comparison.regions
    volumes = content.comparison.agreement_ml
    lines = []
    for place in reversed(range(len(content.rows))):
        cells: list[Cell] = []
        for region in regions:
            part, total = volumes[region.name][place], sum(volumes[region.name])
            cells += [number(part, ".1f"), number(100 * part / total if total else None, ".0f")]
        lines.append(Line(f"exactly {place + 1}", cells))
    heads = [(region.name, ("mL", "%")) for region in regions]
    return table("Table of agreement", "Found by", heads, lines)


def entropy_body(content: Content, pictures: Pictures) -> str:
    """A picture of the entropy; nothing if it was not mapped."""
    if content.entropy is None:
        return ""
    base = content.comparison.base
    drawn = _over_brain(content, pictures, content.entropy, 1.0)
    mean = _mean(content.entropy, row_of(content, base).labels != 0)
    words = f"mean in what is labeled {mean:.2f}"
    caption = f"<h3>{escape(str(base))}</h3><p>{words}</p>"
    figure = picture_figure(drawn, f"Entropy from {base}: {words}", caption, pictures.frame.view.sides)
    note = paragraph(f"{_ENTROPY} The white line surrounds what is labeled from {base}.")
    strip = scale(scale_picture(), "0, sure", "1, undecided", "entropy")
    return f'{note}<div class="grid">\n{figure}</div>\n{strip}'


def contribution_body(content: Content, pictures: Pictures) -> str:
    """A picture of the share of each sequence; nothing if they were not mapped."""
    if not content.contribution:
        return ""
    high = max(float(share.max()) for share in content.contribution.values())
    figures = "".join(_share_figure(content, pictures, name, high) for name in content.contribution)
    strip = scale(scale_picture(), "0", f"{high:.2f}", "the share")
    return paragraph(_CONTRIBUTION) + f'<div class="grid">\n{figures}</div>\n{strip}' + _share_table(content)


def _share_figure(content: Content, pictures: Pictures, name: str, high: float) -> str:
    share = content.contribution[name]
    drawn = _over_brain(content, pictures, share, high)
    title = content.metadata.modalities[name].title
    words = f"mean share in the brain {_mean(share, _brain(content)):.2f}"
    caption = f"<h3>{escape(title)}</h3><p>{words}</p>"
    return picture_figure(drawn, f"Contribution of {title}: {words}", caption, pictures.frame.view.sides)


def _share_table(content: Content) -> str:
    labels = row_of(content, content.comparison.base).labels
    places = {"Brain": _brain(content)} | {r.name: region_mask(labels, r) for r in content.comparison.regions}
    lines = [
        Line(
            content.metadata.modalities[name].title,
            [number(_mean(share, mask) if mask.any() else None, ".3f") for mask in places.values()],
        )
        for name, share in content.contribution.items()
    ]
    return table("Table of mean shares", "Sequence", [("Mean share", tuple(places))], lines)


def _brain(content: Content) -> NDArray[np.bool_]:
    return np.logical_or.reduce([share > 0 for share in content.contribution.values()])


def _over_brain(content: Content, pictures: Pictures, values: NDArray[np.float32], high: float) -> NDArray[np.uint8]:
    """Values in colors with an outline of what the base labels."""
    gray = pictures.behind(content, content.available)
    drawn = color_values(gray, values, values > 0, pictures.frame, high)
    return draw_outline(drawn, row_of(content, content.comparison.base).labels != 0, pictures.frame, _WHITE)


def _mean(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    return float(values[mask].mean(dtype=np.float64)) if mask.any() else 0.0
