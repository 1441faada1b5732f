"""Whether the chosen volumes can be used together, and why not."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from DMAFSegmentLib import tr as _
from DMAFSegmentLib.geometry import GeometryError, Grid, Node, overlap, volume_grid
from DMAFTraining.modalities import ModalitySet


def check(chosen: Mapping[str, Node], modalities: ModalitySet) -> list[str]:
    """Why the chosen volumes (sequence name -> volume) cannot be used; an empty list means they can."""
    if not chosen:
        return [_("Choose at least one input volume.")]
    names = [name for name in modalities.names if name in chosen]
    problems = _duplicates(chosen, names, modalities)
    grids: dict[str, Grid] = {}
    for name in names:
        wrong = unusable(chosen[name], f"{modalities[name].title} ({chosen[name].GetName()})")
        if wrong:
            problems.append(wrong)
            continue
        try:
            grids[name] = volume_grid(chosen[name])
        except GeometryError as error:
            problems.append(f"{modalities[name].title}: {error}")
    first, *others = grids or [""]
    for name in others:
        if not overlap(grids[first], grids[name]):
            text = _("{first} and {second} do not overlap in space. Choose volumes of one patient and one examination.")
            problems.append(text.format(first=modalities[first].title, second=modalities[name].title))
    return problems


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
