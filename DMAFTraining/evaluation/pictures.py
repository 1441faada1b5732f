"""The pictures of one slice of a patient, through which every result is shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from DMAFTraining.evaluation.content import Content, Row
from DMAFTraining.evaluation.slices import (
    LONG_SIDE,
    Frame,
    Orientation,
    Picture,
    SliceView,
    draw_labels,
    gray_picture,
    largest_slice,
)
from DMAFTraining.modalities import Subset


@dataclass(frozen=True)
class Pictures:
    """The pictures of one slice, all of one size.

    Attributes:
        frame: what they show.
        gray: each sequence, by its name; black under the empty name.
        sequences: one for each sequence, by its title.
        truth: the reference segmentation, if there is one.
        rows: one for each row of the content.
    """

    frame: Frame
    gray: dict[str, Picture]
    sequences: dict[str, Picture]
    truth: Picture | None
    rows: tuple[Picture, ...]

    def behind(self, content: Content, subset: Subset) -> Picture:
        """What is shown behind the labels of a subset."""
        return self.gray[background_key(content, subset)]

    @property
    def position(self) -> float:
        """Position of the slice across the slices in mm (RAS)."""
        return self.frame.view.slice_positions[self.frame.level]


def draw_pictures(content: Content, orientation: Orientation = "axial", long_side: int = LONG_SIDE) -> Pictures:
    """Draw the slice of an orientation in which the results differ most, see :func:`telling_slice`."""
    view = SliceView.of(content.grid, orientation)
    frame = frame_at(content, view, telling_slice(content, view), long_side)
    gray = {"": _black(content, frame)} | {name: gray_picture(image, frame) for name, image in content.images.items()}
    shown = content.metadata.labels
    truth = None
    if content.truth is not None:
        truth = draw_labels(gray[background_key(content, content.available)], content.truth, frame, shown)
    return Pictures(
        frame,
        gray,
        {modality.title: gray[modality.name] for modality in content.available if modality.name in gray},
        truth,
        tuple(draw_labels(gray[background_key(content, row.subset)], row.labels, frame, shown) for row in content.rows),
    )


def telling_slice(content: Content, view: SliceView) -> int:
    """The slice in which most pairs of results differ, counted over its voxels; without any, that with most tumor."""
    pairs = view.profile(content.labels.disagreement())
    if pairs.any():
        return int(pairs.argmax())
    return largest_slice(view, [content.rows[0].labels, *([] if content.truth is None else [content.truth])])


def frame_at(content: Content, view: SliceView, level: int, long_side: int) -> Frame:
    """The frame around the brain in a slice; without images, around everything that is labeled."""
    return Frame.around(view, level, _content(content), long_side)


def background_key(content: Content, subset: Subset) -> str:
    """The sequence shown behind the labels of a subset; empty without images."""
    return content.background(subset) if content.images else ""


def background_picture(content: Content, frame: Frame, subset: Subset) -> Picture:
    """That sequence as a picture."""
    name = background_key(content, subset)
    return gray_picture(content.images[name], frame) if name else _black(content, frame)


def _black(content: Content, frame: Frame) -> Picture:
    return np.zeros((*frame.enlarge(frame.cut(content.rows[0].labels), order=0).shape, 3), np.uint8)


def row_of(content: Content, subset: Subset) -> Row:
    """The row of a combination."""
    return next(row for row in content.rows if row.subset == subset)


def _content(content: Content) -> NDArray[np.bool_]:
    if content.images:
        return np.logical_or.reduce([image != 0 for image in content.images.values()])
    shown = [row.labels for row in content.rows] + ([] if content.truth is None else [content.truth])
    return np.logical_or.reduce([labels != 0 for labels in shown])
