"""Images with their place in space: reading with checks, and grids.

Arrays are indexed ``(i, j, k)`` as in Slicer; physical space is RAS in mm (files read by ITK are
LPS and are converted here, in one place).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from DMAFTraining.inference.errors import InputError
from DMAFTraining.inference.integrity import check_nifti

Matrix = NDArray[np.float64]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SAME_GRID_TOLERANCE = 0.1  # voxels, at the corners


@dataclass(frozen=True)
class Grid:
    """A voxel grid: its size and the 4x4 matrix from voxel index to RAS position in mm."""

    size: tuple[int, int, int]
    ijk_to_ras: Matrix

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along i, j, k in mm."""
        i, j, k = np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL."""
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3]))) / 1000

    def corners(self, start: Sequence[int] | None = None, stop: Sequence[int] | None = None) -> Matrix:
        """RAS positions ``(8, 3)`` of the corner voxels of the part from ``start`` to before ``stop``."""
        low = np.zeros(3) if start is None else np.asarray(start)
        high = np.asarray(self.size if stop is None else stop) - 1
        index = np.array([[(low, high)[bit >> axis & 1][axis] for axis in range(3)] for bit in range(8)])
        return index @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3]

    def same_as(self, other: Grid) -> bool:
        """Equal size, and every corner at the same place to a tenth of a voxel."""
        if self.size != other.size:
            return False
        distance = np.linalg.norm(self.corners() - other.corners(), axis=1).max()
        return bool(distance < _SAME_GRID_TOLERANCE * min(self.spacing))


@dataclass(frozen=True)
class Volume:
    """An image ``(I, J, K)`` float32 on a grid; ``source`` is the file it came from."""

    array: NDArray[np.float32]
    grid: Grid
    source: str = ""


def read_volume(path: str | Path) -> Volume:
    """Read a 3-D scalar image of any format ITK knows.

    Raises:
        InputError: missing or unreadable, not a 3-D scalar image, empty, with values that are not finite, or with a
            place in space that cannot be.
    """
    return volume_of(read_image(Path(path)), str(path))


def read_image(path: Path) -> sitk.Image:
    """Read a file of any format and kind that ITK knows.

    Raises:
        InputError: missing, unreadable, cut off, or a NIfTI with values that are not finite.
    """
    if not path.is_file():
        raise InputError(f"There is no image at {path}.", "Check the path.")
    try:
        check_nifti(path)
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else "unknown format"
        raise InputError(
            f"{path} cannot be read as an image ({reason}).", "Export it again as NIfTI or NRRD."
        ) from error


def volume_of(image: sitk.Image, source: str, name: str = "") -> Volume:
    """A 3-D scalar image with its place; ``name`` is what messages call it, by default its ``source``.

    Raises:
        InputError: not a 3-D scalar image, empty, with values that are not finite, or with a place in space that
            cannot be.
    """
    name = name or source
    if image.GetNumberOfComponentsPerPixel() != 1:
        count = image.GetNumberOfComponentsPerPixel()
        raise InputError(f"{name} has {count} values per voxel.", "Give a grayscale image of one sequence.")
    if image.GetPixelID() in (sitk.sitkComplexFloat32, sitk.sitkComplexFloat64):
        raise InputError(f"{name} holds complex numbers.", "Give the magnitude image.")
    size = image.GetSize()
    if image.GetDimension() != 3 or min(size) < 2:
        shape = " x ".join(map(str, size))
        hint = "Give one of its volumes." if image.GetDimension() > 3 else "Give a volume of several slices."
        raise InputError(f"{name} is not a 3-D image (its size is {shape}).", hint)
    grid = grid_of(image)
    if not np.isfinite(grid.ijk_to_ras).all() or grid.voxel_ml == 0:
        raise InputError(f"{name} has no valid position in space.", "Export it again.")
    array = sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32)
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        raise InputError(f"{name} holds {bad} voxel(s) that are not numbers (NaN or infinite).", "Export it again.")
    if array.min() == array.max():
        raise InputError(f"{name} is empty: every voxel has the value {array.flat[0]:g}.", "Choose another image.")
    return Volume(array, grid, source)


def grid_of(image: sitk.Image) -> Grid:
    """Grid of an ITK image."""
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    i, j, k = image.GetSize()
    return Grid((i, j, k), _LPS_TO_RAS @ lps)


def to_image(array: NDArray[np.generic], grid: Grid) -> sitk.Image:
    """ITK image of ``array (I, J, K)`` on ``grid``."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    lps = _LPS_TO_RAS @ grid.ijk_to_ras
    image.SetSpacing(grid.spacing)
    image.SetDirection((lps[:3, :3] / np.array(grid.spacing)).flatten().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def axis_aligned_grid(low: Matrix, high: Matrix, spacing: Sequence[float]) -> Grid:
    """RAS-oriented grid of a spacing whose voxel centers cover the box from ``low`` to ``high`` (mm)."""
    step = np.asarray(spacing, float)
    count = np.ceil((high - low) / step - 1e-6).astype(int) + 1
    matrix = np.diag([*step, 1.0])
    matrix[:3, 3] = (low + high) / 2 - step * (count - 1) / 2
    return Grid((int(count[0]), int(count[1]), int(count[2])), matrix)
