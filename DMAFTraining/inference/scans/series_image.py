"""The image that a DICOM series holds, placed by its own tags."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining.inference.scans.dicom import READER, Header, quiet
from DMAFTraining.inference.scans.functional_groups import frame_slices
from DMAFTraining.inference.scans.stack import Slice, Stack, StackError, make_slice, stack

_GRAY = ("", "MONOCHROME1", "MONOCHROME2")


def series_stack(headers: Sequence[Header]) -> Stack:
    """Grid of a series, from the tags alone.

    Raises:
        StackError: it is not one gray volume.
    """
    for header in headers:
        if header.text("0028,0002") not in ("", "1") or header.text("0028,0004") not in _GRAY:
            raise StackError("holds color images", "Give a grayscale image of one sequence.")
        if "MOSAIC" in header.text("0008,0008").split("\\"):
            raise StackError("holds all slices in one picture (a mosaic)", "Convert it to NIfTI.")
    return stack(_slices(headers))


def _slices(headers: Sequence[Header]) -> list[Slice]:
    if not any(_frames(header) > 1 for header in headers):
        return [_slice(header) for header in headers]
    if len(headers) > 1:
        raise StackError("holds several multi-frame images", "Choose one of them, alone in a folder.")
    return frame_slices(headers[0].path, _size(headers[0]), _frames(headers[0]))


def _slice(header: Header) -> Slice:
    position, orientation, spacing = (header.numbers(tag) for tag in ("0020,0032", "0020,0037", "0028,0030"))
    return make_slice(position, orientation, spacing, _size(header))


def _size(header: Header) -> tuple[int, int]:
    columns, rows = header.numbers("0028,0011"), header.numbers("0028,0010")
    return (int(columns[0]), int(rows[0])) if columns and rows else (0, 0)


def _frames(header: Header) -> int:
    count = header.numbers("0028,0008")
    return int(count[0]) if count else 1


def read_series_image(headers: Sequence[Header]) -> sitk.Image:
    """Read the voxels of a series, rescaled as its tags say, as float32.

    Raises:
        StackError: it is not one gray volume, or a file of it is damaged.
    """
    place = series_stack(headers)
    try:
        with quiet():
            array = _voxels([str(header.path) for header in headers], place.order)
    except RuntimeError as error:
        raise StackError("holds a damaged image or one in an unknown compression") from error
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(place.spacing)
    image.SetOrigin(place.origin)
    image.SetDirection(place.direction)
    return image


def _voxels(files: Sequence[str], order: Sequence[int]) -> NDArray[np.float32]:
    """``(K, J, I)``. Every file is scaled by its own tags, so a common whole-number type could not hold them."""
    if len(files) == 1:
        frames = sitk.GetArrayFromImage(sitk.ReadImage(files[0], sitk.sitkFloat32, READER))
        return frames[list(order)]
    slices = [sitk.GetArrayFromImage(sitk.ReadImage(files[index], sitk.sitkFloat32, READER)) for index in order]
    return np.concatenate(slices)
