"""The worst results of an evaluation as pictures: means hide how a model fails, a picture shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from DMAFTraining.evaluation.case_scores import EvaluationCase
from DMAFTraining.evaluation.scorebook import ScoreRow
from DMAFTraining.evaluation.sheet import Sheet, TextStyle
from DMAFTraining.evaluation.slices import Frame, Picture, SliceView, draw_labels, gray_picture
from DMAFTraining.evaluation.targets import model_name
from DMAFTraining.inference.segmenter import Segmenter

_MARGIN, _GAP, _LINE = 32, 14, 30  # pixels, as all lengths here
_SIDE = 260
_SWATCH = 18
_GROUND = "#111418"
_TITLE = TextStyle(28, "#e8eaed", bold=True)
_BODY = TextStyle(20, "#a9b2bc")
_ABSENT = TextStyle(22, "#a9b2bc", align="center")


@dataclass(frozen=True)
class Worst:
    """A result that is worse than others.

    Attributes:
        case: name of the case.
        subset: the sequences it was made from (``t1+flair``).
        dice: of each region.
    """

    case: str
    subset: str
    dice: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean Dice over regions."""
        return float(np.mean(list(self.dice.values())))

    @property
    def stem(self) -> str:
        """What its picture is called, without the ending."""
        return f"{self.case}-{self.subset}"


def worst_results(rows: Sequence[ScoreRow], count: int) -> list[Worst]:
    """Results of least mean Dice over regions, the worst first; no case and no subset comes twice.

    Without that rule every picture would show the poorest sequence alone.
    """
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        found.setdefault((row.case, row.subset), {})[row.region] = row.dice
    chosen: list[Worst] = []
    for result in sorted((Worst(*key, dice) for key, dice in found.items()), key=lambda result: result.mean):
        if len(chosen) < count and not any(result.case == w.case or result.subset == w.subset for w in chosen):
            chosen.append(result)
    return chosen


def draw_worst(segmenter: Segmenter, case: EvaluationCase, result: Worst, path: Path) -> None:
    """Segment a case from a subset again and draw sequences, truth and result side by side.

    The slice is the one with most voxels whose label is wrong; labels are drawn on the last sequence that was given.

    Args:
        segmenter: the model.
        case: the one that ``result`` is about.
        result: from :func:`worst_results`.
        path: PNG file to write.
    """
    modalities = segmenter.metadata.modalities
    subset = modalities.parse(result.subset)
    labels = next(iter(segmenter.segment(segmenter.prepare(case.volumes), [subset.names]))).labels
    view = SliceView.as_acquired(next(iter(case.volumes.values())).grid)
    level = int(view.profile(labels != case.labels).argmax())
    shown = np.logical_or.reduce([volume.array != 0 for volume in case.volumes.values()])
    frame = Frame.around(view, level, shown, _SIDE)
    gray = {name: gray_picture(volume.array, frame) for name, volume in case.volumes.items()}
    behind = gray[subset.names[-1]]
    cells = [
        (modality.title, gray[modality.name] if modality.name in subset else None)
        for modality in modalities.full()
        if modality.name in gray
    ]
    drawn = [("truth", case.labels), ("result", labels)]
    cells += [(title, draw_labels(behind, values, frame, segmenter.metadata.labels)) for title, values in drawn]
    _sheet(segmenter, result, cells).save(path, _height(behind))


def _sheet(segmenter: Segmenter, result: Worst, cells: Sequence[tuple[str, Picture | None]]) -> Sheet:
    metadata = segmenter.metadata
    height, width = next(picture.shape[:2] for _, picture in cells if picture is not None)
    sheet = Sheet(2 * _MARGIN + len(cells) * (width + _GAP) - _GAP, _GROUND)
    room = sheet.width - 2 * _MARGIN
    dice = ", ".join(f"{region} {value:.2f}" for region, value in result.dice.items())
    given = metadata.modalities.parse(result.subset)
    sheet.text(_MARGIN, _MARGIN - 12, f"{result.case}, from {given}: Dice {dice}", _TITLE, room)
    top = _MARGIN + _LINE
    for number, (title, picture) in enumerate(cells):
        x = _MARGIN + number * (width + _GAP)
        if picture is None:
            sheet.text(x + width / 2, top + height / 2, "not given", _ABSENT)
        else:
            sheet.picture(x, top, picture)
        sheet.text(x + width / 2, top + height + 8, title, replace(_BODY, align="center"))
    y, x = top + height + 8 + _LINE, float(_MARGIN)
    for label in metadata.labels:
        sheet.swatch(x, y + 3, _SWATCH, label.color)
        sheet.text(x + _SWATCH + 10, y, label.name, _BODY)
        x += _SWATCH + 40 + _BODY.width(label.name)
    notice = f"{model_name(metadata)}. Research use only. Not a medical device."
    sheet.text(_MARGIN, y + _LINE, notice, _BODY, room)
    return sheet


def _height(picture: Picture) -> int:
    return _MARGIN + _LINE + picture.shape[0] + 8 + 3 * _LINE + _MARGIN // 2
