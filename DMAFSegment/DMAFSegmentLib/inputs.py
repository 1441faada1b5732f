"""Whether the chosen volumes can be used together, and why not."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping

import numpy as np

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import GeometryError, Grid, Node, overlap, same_grid, volume_grid
from DMAFSegmentLib.scan_request import works_on_slices
from DMAFTraining.inference.metadata import BundleMetadata
from DMAFTraining.inference.reference_choice import choose_reference
from DMAFTraining.modalities import ModalitySet


def check(chosen: Mapping[str, Node], modalities: ModalitySet, may_move: bool = False) -> list[str]:
    """Why the chosen volumes (sequence name -> volume) cannot be used; an empty list means they can.

    Volumes that ``may_move`` onto each other need not overlap: see :func:`far_apart`.
    """
    if not chosen:
        return [_("Choose at least one input volume.")]
    names = [name for name in modalities.names if name in chosen]
    problems = _duplicates(chosen, names, modalities)
    for name in names:
        wrong = unusable(chosen[name], f"{modalities[name].title} ({chosen[name].GetName()})")
        if wrong:
            problems.append(wrong)
            continue
        try:
            volume_grid(chosen[name])
        except GeometryError as error:
            problems.append(f"{modalities[name].title}: {error}")
    if not may_move:
        text = _("{first} and {second} do not overlap in space. Choose volumes of one patient and one examination.")
        problems += [text.format(first=first, second=second) for first, second in _apart(chosen, modalities)]
    return problems


def far_apart(chosen: Mapping[str, Node], modalities: ModalitySet) -> str:
    """A warning about usable volumes that do not overlap and will be moved onto each other; empty without any."""
    text = _("{second} does not overlap {first} in space and will be moved there: are both of one patient?")
    return " ".join(text.format(first=first, second=second) for first, second in _apart(chosen, modalities))


def reference_sequence(chosen: Mapping[str, Node], metadata: BundleMetadata) -> str:
    """The sequence whose grid the results get: the first if all volumes share a grid or the model works on slices,
    otherwise the one of the fullest resolution.

    ``chosen`` holds usable volumes, at least one.
    """
    names = [name for name in metadata.modalities.names if name in chosen]
    grids = {name: volume_grid(chosen[name]) for name in names}
    first = grids[names[0]]
    if works_on_slices(metadata) or all(same_grid(first, grid) for grid in grids.values()):
        return names[0]
    spacings = {name: [float(step) for step in np.linalg.norm(grid.axes, axis=0)] for name, grid in grids.items()}
    return choose_reference(spacings, metadata.modalities)


def _apart(chosen: Mapping[str, Node], modalities: ModalitySet) -> list[tuple[str, str]]:
    """Titles of the first usable volume and of each that shares no space with it."""
    grids: dict[str, Grid] = {}
    for name in modalities.names:
        if name in chosen and not unusable(chosen[name], ""):
            with contextlib.suppress(GeometryError):
                grids[name] = volume_grid(chosen[name])
    first, *others = grids or [""]
    away = [name for name in others if not overlap(grids[first], grids[name])]
    return [(modalities[first].title, modalities[name].title) for name in away]


def _duplicates(chosen: Mapping[str, Node], names: list[str], modalities: ModalitySet) -> list[str]:
    text = _('{first} and {second} are the same volume ("{volume}"). Change one of them or set it to None.')
    return [
        text.format(first=modalities[a].title, second=modalities[b].title, volume=chosen[a].GetName())
        for a, b in itertools.combinations(names, 2)
        if chosen[a] is chosen[b]
    ]


def unusable(node: Node, label: str) -> str:
    """What makes a node unfit as an input; empty when nothing does, or when its geometry will tell."""
    if node.IsA("vtkMRMLSequenceNode"):
        return _("{volume} is a sequence over time (4-D). Choose one volume of it.").format(volume=label)
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        return _("{volume} is not an image volume. Choose a gray-scale volume.").format(volume=label)
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return _("{volume} is a label map. Choose the image, not a segmentation of it.").format(volume=label)
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        return ""  # volume_grid says so
    if image.GetNumberOfScalarComponents() != 1:
        return _("{volume} has color or several values per voxel. Choose a gray-scale volume.").format(volume=label)
    if min(image.GetDimensions()) < 2:
        return _("{volume} is a single slice. Choose a volume with several slices.").format(volume=label)
    return ""
